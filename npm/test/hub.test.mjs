import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import KinopioHub, { KINOPIO_STATE_EVENT, KinopioError, debugAlive } from "../dist/index.mjs";
import { collector, rejects, startServer, until } from "./helpers.mjs";

let server;
before(async () => (server = await startServer()));
after(() => server.stop());

/** A hub for one test, which leaves nothing behind. */
async function withHub(options, use) {
  const hub = new KinopioHub({ servers: [server.ws], ...options });
  try {
    await use(hub);
  } finally {
    await hub.dispose();
  }
}

test("a hub is usable at once: work waits for the module and the connection", () =>
  withHub({}, async (hub) => {
    const got = collector();
    const subscribed = hub.early.bird.sub(got.push);
    const published = subscribed.then(() => hub.early.bird.pub({ x: 1 }));
    await published;
    const [[data, message]] = await got.take(1);
    assert.deepEqual(data, { x: 1 });
    assert.equal(message.subject, "early.bird");
    assert.deepEqual(message.raw, new TextEncoder().encode('{"x":1}'));
    assert.equal(hub.state, "connected");
  }));

test("scopes and variables come by property and by name, always the same", () =>
  withHub({}, async (hub) => {
    assert.equal(hub.a.b, hub.getScope("a").getVariable("b"));
    assert.equal(hub.a.b.subject, "a.b");
    assert.equal(hub.getScope("a").getScope("b").getVariable("c"), hub.getScope("a.b").getVariable("c"));
    assert.equal(hub.getScope("a").getScope("b").name, "a.b");
    assert.throws(() => hub.getScope("a b"), { code: "INVALID_NAME" });
    assert.throws(() => hub.a["x..y"], { code: "INVALID_NAME" });
  }));

test("languages and consoles do not make scopes", () =>
  withHub({}, async (hub) => {
    assert.equal(await hub, hub);
    assert.equal(hub.then, undefined);
    assert.equal(hub.scope.then, undefined);
    assert.equal(hub.inspect, undefined);
    assert.equal(hub[Symbol.iterator], undefined);
    assert.ok(hub instanceof KinopioHub);
    assert.equal(hub.constructor, KinopioHub);
    assert.match(JSON.stringify(hub), /"state":"conn/);
    assert.equal(typeof JSON.stringify(hub.scope), "string");
    inspect(hub, { depth: 5 });
    assert.throws(() => (hub.robot = 1), { code: "INVALID_NAME", message: /pub\(\)/ });
    assert.throws(() => (hub.robot.battery = 1), { code: "INVALID_NAME" });
    assert.throws(() => delete hub.connected, TypeError);
  }));

test("subclasses work", async () => {
  class Robot extends KinopioHub {
    battery() {
      return this.robot.battery;
    }
  }
  const robot = new Robot({ servers: [server.ws], autoConnect: false });
  assert.equal(robot.battery().subject, "robot.battery");
  await robot.dispose();
});

test("values of every kind arrive as they were sent", () =>
  withHub({}, async (hub) => {
    const got = collector();
    await hub.kinds.all.sub((data) => got.push({ data }));
    const values = [1, -0.5, true, false, "text", "größe €", { a: [1, { b: null }] }, [], {}, new Uint8Array([255, 0, 254]), "x".repeat(300), "é".repeat(300)];
    for (const value of values) hub.kinds.all.pub(value);
    hub.kinds.all.pub(null);
    hub.kinds.all.pub();
    assert.deepEqual((await got.take(values.length + 2)).map((item) => item.data), [...values, null, null]);
  }));

test("order is kept, within a burst and across kinds of size", () =>
  withHub({}, async (hub) => {
    const got = [];
    await hub.order.n.sub((n) => got.push(typeof n === "string" ? Number(n.slice(0, 6)) : n));
    const n = 5000;
    for (let i = 0; i < n; i++) hub.order.n.pub(i % 500 === 7 ? String(i).padStart(6, "0") + "x".repeat(100_000) : i);
    await until(() => got.length >= n);
    assert.deepEqual(got, Array.from({ length: n }, (_, i) => i));
  }));

test("the value follows messages and own publications", () =>
  withHub({}, (hub) =>
    withHub({}, async (other) => {
      assert.equal(hub.live.v.value, null);
      await hub.flush();
      await other.live.v.pub({ n: 1 });
      await until(() => hub.live.v.value !== null, "the message has come");
      assert.deepEqual(hub.live.v.value, { n: 1 });
      assert.deepEqual(await hub.live.v.ready(), { n: 1 });
      hub.live.v.pub({ n: 2 });
      assert.deepEqual(hub.live.v.value, { n: 2 }, "at once, before the echo");
      assert.equal(await hub.live.never.ready(), null, "nobody knows a value");
    }),
  ));

test("noEcho keeps own messages from subscriptions, not from the value", () =>
  withHub({ noEcho: true }, async (hub) => {
    let calls = 0;
    await hub.mute.v.sub(() => calls++);
    await hub.mute.v.pub(5);
    await hub.flush();
    assert.equal(calls, 0);
    assert.equal(hub.mute.v.value, 5);
  }));

test("a mere publisher costs no subscription", () =>
  withHub({}, async (hub) => {
    await hub.connected();
    await hub.cheap.out.pub(1);
    await hub.flush();
    assert.equal(hub.status.subscriptions, 0);
    assert.equal(hub.cheap.out.value, 1);
    hub.cheap.watched; // looked at
    await hub.flush();
    assert.equal(hub.status.subscriptions, 1);
    hub.cheap.getVariable("watched");
    await hub.flush();
    assert.equal(hub.status.subscriptions, 2);
  }));

test("watch gives the value, then each change", () =>
  withHub({}, async (hub) => {
    const seen = collector();
    await hub.w.v.pub(1);
    const stop = hub.w.v.watch(seen.push);
    await hub.flush();
    for (const v of [1, 2, 2, 3]) await hub.w.v.pub(v);
    await hub.flush();
    await seen.take(3).then((values) => assert.deepEqual(values, [1, 2, 3]));
    stop();
    await hub.w.v.pub(4);
    await hub.flush();
    assert.equal(seen.items.length, 0);
  }));

test("every subscription gets each message, and ends on its own", () =>
  withHub({}, async (hub) => {
    const [a, b, c] = [collector(), collector(), collector()];
    const first = await hub.many.v.sub((v) => a.push(v));
    const second = await hub.many.v.sub((v) => b.push(v), { max: 2 });
    await hub.many.v.sub((v) => c.push(v));
    for (const v of [1, 2]) await hub.many.v.pub(v);
    await hub.flush();
    await second.closed;
    first.unsubscribe();
    await first.closed;
    await hub.many.v.pub(3);
    await c.take(3).then((values) => assert.deepEqual(values, [1, 2, 3]));
    assert.deepEqual(a.items, [1, 2]);
    assert.deepEqual(b.items, [1, 2]);
  }));

test("an order that there is not is refused", () =>
  withHub({}, async (hub) => {
    const error = await rejects(hub.order.v.sub(() => {}, { order: "time" }), "INVALID_CONFIG");
    assert.match(error.message, /order = "time": want "publisher" or "arrival"/);
  }));

test("a queue group shares the messages", () =>
  withHub({}, (hub) =>
    withHub({}, async (other) => {
      const got = collector();
      await hub.q.v.sub((v) => got.push(v), { queue: "workers" });
      await other.q.v.sub((v) => got.push(v), { queue: "workers" });
      for (let i = 0; i < 50; i++) hub.q.v.pub(i);
      await hub.flush();
      const values = await got.take(50);
      assert.deepEqual(values.sort((x, y) => x - y), Array.from({ length: 50 }, (_, i) => i));
      assert.equal(got.items.length, 0);
    }),
  ));

test("wildcards are for subscribing", () =>
  withHub({}, async (hub) => {
    const got = collector();
    await hub.getScope("wild").getVariable("*").sub((data, m) => got.push([m.subject, data]));
    await hub.wild.a.pub(1);
    await hub.wild.b.pub(2);
    assert.deepEqual(await got.take(2), [["wild.a", 1], ["wild.b", 2]]);
    await rejects(hub.getScope("wild").getVariable("*").pub(1), "INVALID_NAME");
    await rejects(hub.getScope("wild").getVariable(">").req(1), "INVALID_NAME");
  }));

test("headers and reply travel; respond answers", () =>
  withHub({}, async (hub) => {
    const inbox = collector();
    await hub.h.inbox.sub((data, m) => inbox.push([data, m.headers.kind?.[0]]));
    await hub.h.v.sub((_, m) => {
      assert.deepEqual({ ...m.headers }, { one: ["1"], two: ["a", "b"] });
      assert.equal(m.reply, "h.inbox");
      return m.respond({ ok: true }, { headers: { kind: "answer" } });
    });
    await hub.h.v.pub("ask", { reply: "h.inbox", headers: { one: "1", two: ["a", "b"] } });
    assert.deepEqual(await inbox.take(1), [[{ ok: true }, "answer"]]);
    await rejects(hub.h.v.pub(1, { headers: { "bad name": "x" } }), "INVALID_VALUE");
    await rejects(hub.h.v.pub(1, { headers: { a: "x\ny" } }), "INVALID_VALUE");
  }));

test("requests are answered, several at once", () =>
  withHub({}, async (hub) => {
    let running = 0;
    let most = 0;
    await hub.svc.sum.serve(
      async ({ a, b }) => {
        most = Math.max(most, ++running);
        await new Promise((resolve) => setTimeout(resolve, 20));
        running--;
        return a + b;
      },
      { concurrency: 8 },
    );
    const answers = await Promise.all(Array.from({ length: 32 }, (_, i) => hub.svc.sum.req({ a: i, b: 1 })));
    assert.deepEqual(answers, Array.from({ length: 32 }, (_, i) => i + 1));
    assert.equal(most, 8);
  }));

test("a service that fails, answers nothing or is not there is told apart", () =>
  withHub({}, async (hub) => {
    await hub.svc.bad.serve(() => {
      throw Object.assign(new Error("no such robot"), { code: 404 });
    });
    const error = await rejects(hub.svc.bad.req(), "SERVICE_ERROR");
    assert.ok(error instanceof KinopioError);
    assert.deepEqual([error.message, error.serviceCode, error.data], ["no such robot", "404", { error: true, message: "no such robot" }]);
    await hub.svc.empty.serve(() => undefined);
    assert.equal(await hub.svc.empty.req(), null);
    await hub.svc.slow.serve(() => new Promise(() => {}));
    await rejects(hub.svc.slow.req(1, { timeout: 30 }), "TIMEOUT");
    const cancelled = AbortSignal.timeout(10);
    await assert.rejects(hub.svc.slow.req(1, { signal: cancelled }), { name: "TimeoutError" });
    await rejects(hub.svc.nobody.req(), "NO_RESPONDERS");
    await hub.svc.odd.serve(() => 1n);
    const errors = collector();
    hub.onError(errors.push);
    await rejects(hub.svc.odd.req(), "SERVICE_ERROR");
    assert.equal((await errors.take(1))[0].code, "INVALID_VALUE");
  }));

test("a callback that throws breaks nobody else", () =>
  withHub({}, async (hub) => {
    const errors = collector();
    const got = collector();
    hub.onError(errors.push);
    hub.onError(() => {
      throw new Error("even this");
    });
    await hub.t.v.sub(() => {
      throw new Error("sync");
    });
    await hub.t.v.sub(async () => {
      throw new Error("async");
    });
    await hub.t.v.sub((v) => got.push(v));
    await hub.t.v.pub(1);
    await got.take(1);
    const both = await errors.take(2);
    assert.deepEqual(both.map((e) => [e.code, e.cause.message]), [["CALLBACK_FAILED", "sync"], ["CALLBACK_FAILED", "async"]]);
  }));

test("an async callback keeps its order and holds up nobody", () =>
  withHub({}, async (hub) => {
    const slow = collector();
    const fast = collector();
    let release;
    const gate = new Promise((resolve) => (release = resolve));
    await hub.async.v.sub(async (v) => {
      if (v === 1) await gate;
      slow.push(v);
    });
    await hub.async.v.sub((v) => fast.push(v));
    for (const v of [1, 2, 3]) hub.async.v.pub(v);
    assert.deepEqual(await fast.take(3), [1, 2, 3]);
    assert.deepEqual(slow.items, []);
    release();
    assert.deepEqual(await slow.take(3), [1, 2, 3]);
  }));

test("a message that is too large says so with both sizes, and only that one fails", async () => {
  const small = await startServer("-max-payload", "1000");
  const hub = new KinopioHub({ servers: [small.ws] });
  try {
    const early = hub.big.v.pub("x".repeat(2000)); // before the limit is known
    assert.match((await rejects(early, "MESSAGE_TOO_LARGE")).message, /2000.*1000/);
    await hub.connected();
    const good = hub.big.v.pub("y");
    const bad = hub.big.v.pub("x".repeat(1001));
    const also = hub.big.v.pub("z");
    assert.match((await rejects(bad, "MESSAGE_TOO_LARGE")).message, /1001.*1000/);
    await good;
    await also;
    await hub.big.echo.serve((v) => v.repeat(100));
    await rejects(hub.big.echo.req("x".repeat(100)), "SERVICE_ERROR");
    assert.equal(hub.status.reconnects, 0);
  } finally {
    await hub.dispose();
    await small.stop();
  }
});

test("states are told in order, to every kind of listener", async () => {
  const hub = new KinopioHub({ servers: [server.ws], autoConnect: false });
  const [a, b, c] = [[], [], []];
  const stop = hub.onStateChange((s) => a.push(s));
  hub.on(KINOPIO_STATE_EVENT, (s) => b.push(s));
  hub.event.on(KINOPIO_STATE_EVENT, (s) => c.push(s));
  assert.throws(() => hub.on("other", () => {}), { code: "INVALID_CONFIG" });
  assert.equal(hub.state, "disconnected");
  await hub.connect();
  stop();
  await hub.dispose();
  assert.deepEqual(a, ["connecting", "connected"]);
  assert.deepEqual(b, ["connecting", "connected", "disconnected"]);
  assert.deepEqual(c, b);
});

test("subscriptions, services and values outlive the server", async () => {
  const own = await startServer();
  const hub = new KinopioHub({ servers: [own.ws], retryDelay: 20, reconnectTimeWait: 10 });
  try {
    const got = collector();
    const moves = collector();
    hub.onMove(moves.push);
    await hub.r.v.sub((v) => got.push(v));
    await hub.r.f.serve((v) => v * 2);
    assert.equal((await moves.take(1))[0].reason, "connect");
    await own.tell("stop");
    await until(() => hub.state === "connecting");
    const waiting = hub.r.v.pub("while away");
    await own.tell("start");
    await waiting;
    assert.deepEqual(await got.take(1), ["while away"]);
    assert.equal(await hub.r.f.req(21), 42);
    const [move] = await moves.take(1);
    assert.deepEqual([move.reason, move.planned, move.error, move.phase], ["server lost", false, null, ""]);
    await hub.reconnect();
    const [again] = await moves.take(1);
    assert.deepEqual([again.reason, again.planned, again.error, again.phase], ["requested", true, null, "done"]);
    assert.ok(again.tripMs > 0 && again.tripMs < again.tookMs, `${again.tripMs} of ${again.tookMs} ms`);
    assert.deepEqual([hub.status.phase, hub.status.missing, hub.status.repairing], ["", 0, 0]);
    assert.equal(await hub.r.f.req(1), 2);
    assert.equal(hub.status.reconnects, 1);
  } finally {
    await hub.dispose();
    await own.stop();
  }
});

test("without a connection a publish waits, then fails", async () => {
  const hub = new KinopioHub({ servers: ["ws://127.0.0.1:1"], timeout: 80, pendingLimitBytes: 1000 });
  const waiting = hub.x.y.pub("a");
  await rejects(hub.x.y.pub("b".repeat(2000)), "DISCONNECTED");
  await rejects(waiting, "DISCONNECTED");
  await assert.rejects(hub.connected(50), { name: "KinopioError" });
  await hub.dispose();
});

test("waitOnFirstConnect: false makes the first failure final", async () => {
  const hub = new KinopioHub({ servers: ["ws://127.0.0.1:1"], waitOnFirstConnect: false });
  const states = [];
  hub.onStateChange((s) => states.push(s));
  const error = await rejects(hub.connected(), "CONNECT_FAILED");
  assert.match(error.message, /127\.0\.0\.1:1/);
  assert.equal(hub.state, "error");
  assert.equal(hub.status.lastError.code, "CONNECT_FAILED");
  await hub.dispose();
});

test("dispose rejects what waits, at once, and again and again", async () => {
  const hub = new KinopioHub({ servers: [server.ws] });
  await hub.connected();
  await hub.d.slow.serve(() => new Promise(() => {}));
  const sub = await hub.d.v.sub(() => {});
  const pending = [hub.d.slow.req(1, { timeout: 60_000 }), hub.d.none.ready(60_000), hub.d.v.pub(1), hub.flush()];
  const settled = Promise.allSettled(pending);
  const disposed = hub.dispose();
  assert.equal(hub.state, "disconnected");
  for (const one of await settled) assert.equal(one.reason?.code, "DISPOSED");
  await sub.closed;
  await disposed;
  await hub.dispose();
  await rejects(hub.connected(), "DISPOSED");
  await rejects(hub.d.v.pub(1), "DISPOSED");
  await rejects(hub.d.v.sub(() => {}), "DISPOSED");
  await rejects(hub.d.v.req(), "DISPOSED");
  await rejects(hub.d.v.serve(() => {}), "DISPOSED");
});

test("dispose works at any moment", async () => {
  for (const wait of [0, 1, 5, 20]) {
    for (const url of [server.ws, "ws://127.0.0.1:1", "ws://192.0.2.1:9"]) {
      const hub = new KinopioHub({ servers: [url] });
      const connected = hub.connected().catch((error) => error);
      if (wait) await new Promise((resolve) => setTimeout(resolve, wait));
      await hub.dispose();
      const outcome = await connected;
      if (outcome) assert.equal(outcome.code, "DISPOSED");
    }
  }
});

test("nothing is left in the module after dispose", async () => {
  await until(() => debugAlive().hubs === 0);
  const idle = debugAlive();
  for (let i = 0; i < 5; i++) {
    const hub = new KinopioHub({ servers: [server.ws] });
    await hub.l.v.sub(() => {});
    await hub.l.f.serve((v) => v);
    await hub.l.f.req(1);
    await hub.dispose();
  }
  const { heapBytes: _, ...left } = debugAlive();
  assert.deepEqual(left, { goroutines: idle.goroutines, hubs: 0, sockets: 0, subscriptions: 0, requests: 0, answers: 0, batches: 0, unacked: 0, pending: 0, webSockets: 0 });
  assert.equal(await server.tell("clients"), '{"clients":0}');
});

test("what waits for a slow callback is bounded, and what is dropped is reported once", () =>
  withHub({}, async (hub) => {
    const errors = collector();
    hub.onError(errors.push);
    let release;
    const held = new Promise((resolve) => (release = resolve));
    const slow = [];
    const subscription = await hub.slow.v.sub(async (data) => {
      slow.push(data[0]);
      await held;
    });
    const fast = collector();
    await hub.slow.v.sub((data) => fast.push(data[0]));
    const count = 90;
    for (let i = 0; i < count; i++) {
      await hub.slow.v.pub(new Uint8Array(900_000).fill(0x80 + i));
      await hub.flush(); // so that what comes back is read, too
    }
    await fast.take(count);
    const [error] = await errors.take(1);
    assert.equal(error.code, "SLOW_CONSUMER");
    assert.match(error.message, /slow\.v: 74 messages \(66600000 bytes\)/);
    release();
    await until(() => slow.length === 75);
    await hub.slow.v.pub(new Uint8Array([0xff]));
    await until(() => slow.at(-1) === 0xff);
    assert.deepEqual(slow.slice(0, 75), Array.from({ length: 75 }, (_, i) => 0x80 + i));
    assert.equal(slow.length, 76);
    subscription.unsubscribe();
  }));
