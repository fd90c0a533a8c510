import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import KinopioHub from "../dist/index.mjs";
import { collector, startServer, until } from "./helpers.mjs";

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

/** A hub for one test, whose names end soon. */
async function withHub(options, use) {
  const hub = new KinopioHub({ servers: [server.ws], linger: 20, readLinger: 40, ...options });
  try {
    await hub.connected();
    await use(hub);
  } finally {
    await hub.dispose();
  }
}

setFlagsFromString("--expose-gc");
const gc = runInNewContext("gc");

/** Bytes in use, when what can be collected has been. */
async function heap() {
  for (let i = 0; i < 4; i++) {
    gc();
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  return process.memoryUsage().heapUsed;
}

const none = (hub) => until(() => hub.status.subscriptions === 0);

test("a thousand variables, however they were used, give their subscriptions back", () =>
  withHub({}, async (hub) => {
    const uses = {
      callback: async (v) => (await v.sub(() => {})).unsubscribe(),
      loop: async (v) => (await v.sub()).unsubscribe(),
      drain: async (v) => (await v.sub(() => {})).drain(),
      group: async (v) => (await v.sub(() => {}, { queue: "q" })).unsubscribe(),
      watch: (v) => v.watch(() => {})(),
      store: (v) => v.subscribe(() => {})(),
      read: (v) => v.value,
      "read and publish": (v) => (v.value, v.pub(1)),
      publish: (v) => v.pub(1),
    };
    for (const [what, use] of Object.entries(uses)) {
      await Promise.all(Array.from({ length: 100 }, (_, i) => use(hub.getScope("s").getVariable(`${what.replace(/ /g, "_")}-${i}`))));
      await none(hub);
    }
  }));

test("10,000 variables that were used and left leave nothing behind", () =>
  withHub({ timeout: 60_000 }, async (hub) => {
    const use = async (round) => {
      for (let i = 0; i < 10_000; i++) {
        const variable = hub.getScope(`room-${round}-${i % 100}`).getVariable(`v${i}`);
        if (i % 3 === 0) variable.watch(() => {})();
        else if (i % 3 === 1) void variable.value;
        else void variable.pub(i);
      }
      await hub.flush();
      await none(hub);
    };
    await use(0);
    await use(1);
    const first = await heap();
    for (let round = 2; round < 6; round++) await use(round);
    const last = await heap();
    // Forty thousand more would be 30 MB and more.
    assert.ok(last < first + 8e6, `${first} bytes after two rounds, ${last} after four more`);
  }));

test("20,000 callbacks on one variable begin and end", () =>
  withHub({ timeout: 60_000 }, async (hub) => {
    const all = await Promise.all(Array.from({ length: 20_000 }, () => hub.s.v.sub(() => {})));
    const got = collector();
    await hub.s.v.sub(got.push);
    for (const one of all) one.unsubscribe();
    await hub.s.v.pub(1);
    assert.deepEqual((await got.take(1)).map(([data]) => data), [1]);
    assert.equal(hub.status.subscriptions, 1);
  }));

test("a variable is the same one as long as somebody has it, and while it is followed", () =>
  withHub({ readLinger: 10 }, async (hub) => {
    const held = hub.s.held;
    const got = collector();
    await hub.s.followed.sub(got.push);
    const marked = new WeakSet([hub.s.followed]);
    await heap();
    await heap();
    assert.equal(hub.s.held, held);
    assert.ok(marked.has(hub.s.followed));
    await hub.s.followed.pub(1);
    await got.take(1);
  }));

test("a value that changes, and is read through a proxy of others again, stays; one that is not read again ends", () =>
  withHub({}, async (hub) => {
    const { reactive } = fakeReactivity();
    const view = reactive(hub.s.v);
    assert.equal(view.value, null);
    await hub.flush();
    await new Promise((resolve) => setTimeout(resolve, 200)); // five times what a read lasts
    assert.equal(hub.status.subscriptions, 1);
    const other = new KinopioHub({ servers: [server.ws] });
    try {
      await other.s.v.pub(1);
      await until(() => hub.status.subscriptions === 0); // nobody has read it again
      assert.equal(view.value, 1);
    } finally {
      await other.dispose();
    }
  }));

const lapsed = () => new Promise((resolve) => setTimeout(resolve, 300)); // seven times what a read lasts

test("what was set here is kept for those who come later, until it is released or deleted", () =>
  withHub({}, async (hub) => {
    const later = async () => {
      const other = new KinopioHub({ servers: [server.ws] });
      try {
        return await other.s.kept.ready();
      } finally {
        await other.dispose();
      }
    };
    await hub.s.kept.set("value");
    await lapsed();
    assert.equal(await later(), "value");
    hub.s.kept.release();
    await none(hub);
    assert.equal(await later(), null);
    assert.equal(hub.s.kept.value, null);

    await hub.s.kept.set("again");
    await hub.s.kept.delete();
    await none(hub);
    assert.equal(await hub.s.kept.ready(), null);
  }));

test("a value that was not followed for a while is the last one known at once, and then the present one, or none", () =>
  withHub({}, async (hub) => {
    const writer = new KinopioHub({ servers: [server.ws] });
    try {
      await writer.s.a.set(1);
      const mine = hub.s.a;
      assert.equal(await mine.ready(), 1);
      await none(hub);
      await writer.s.a.set(2);
      await writer.flush();
      assert.equal(mine.value, 1);
      assert.equal(await mine.ready(), 2);
      assert.equal(mine.value, 2);
      await none(hub);
    } finally {
      await writer.dispose();
    }
    assert.equal(hub.s.a.value, 2);
    assert.equal(await hub.s.a.ready(), null); // nobody keeps it any more
    assert.equal(hub.s.a.value, null);
    assert.equal(hub.s.a.meta.exists, false);
  }));

test("a value that was published stays the last one known", () =>
  withHub({}, async (hub) => {
    await hub.s.event.sub(() => {}, { max: 1 });
    await hub.s.event.pub(7);
    assert.equal(hub.s.event.value, 7);
    await none(hub);
    assert.equal(hub.s.event.value, 7);
    assert.equal(await hub.s.event.ready(), 7);
  }));

test("release lets a value go out that waits to be sent", async () => {
  const hub = new KinopioHub({ servers: [server.ws], linger: 20, readLinger: 40, autoConnect: false });
  const other = new KinopioHub({ servers: [server.ws] });
  try {
    const got = collector();
    await other.s.waits.watch(got.push);
    await other.flush();
    const sent = hub.s.waits.set("sent later");
    hub.s.waits.release();
    await hub.connect();
    await sent;
    await until(() => other.s.waits.value === "sent later");
    await none(hub);
    assert.equal(hub.s.waits.value, null);
  } finally {
    await hub.dispose();
    await other.dispose();
  }
});

/** What frameworks do: objects are read through a proxy. */
function fakeReactivity() {
  return {
    reactive: (target) => new Proxy(target, { get: (object, name, receiver) => Reflect.get(object, name, receiver) }),
  };
}

test("more subjects than the module is told of at a time", () =>
  withHub({ timeout: 60_000, readLinger: 60_000 }, async (hub) => {
    const got = collector();
    await hub.many.getVariable("*").sub((_, message) => got.push(message.subject));
    const names = Array.from({ length: 6000 }, (_, i) => `v${i}`);
    for (let round = 0; round < 2; round++) {
      for (const name of names) void hub.many.getVariable(name).pub(round);
      const subjects = await got.take(names.length);
      assert.deepEqual(subjects, names.map((name) => `many.${name}`));
    }
  }));
