import assert from "node:assert/strict";
import { once } from "node:events";
import { connect } from "node:net";
import { after, before, test } from "node:test";
import KinopioHub, { debugAlive } from "../dist/index.mjs";
import { startServer, until } from "./helpers.mjs";

// What conformance/scenarios/kept.json cannot say of set values, and only JavaScript does.

let server;
before(async () => {
  server = await startServer();
});
after(() => server.stop());

/** Opens hubs, gives them to `use`, and ends them. */
async function withHubs(n, use, options) {
  const hubs = Array.from({ length: n }, () => new KinopioHub({ servers: [server.ws], ...options }));
  try {
    await Promise.all(hubs.map((hub) => (options?.autoConnect === false ? undefined : hub.connected())));
    await use(...hubs);
  } finally {
    await Promise.all(hubs.map((hub) => hub.dispose()));
  }
}

/** A client of 2.1.0, whose every byte is written down here. */
async function oldPeer(settings) {
  const { hostname, port } = new URL(server.tcp.replace("nats:", "http:"));
  const socket = connect(Number(port), hostname);
  let heard = "";
  socket.setEncoding("latin1").on("data", (text) => (heard += text));
  await once(socket, "connect");
  const say = (text) => socket.write(text, "latin1");
  const hears = async (pattern) => {
    let found;
    await until(() => (found = pattern.exec(heard)), `${pattern} in ${JSON.stringify(heard)}`);
    heard = heard.slice(found.index + found[0].length);
    return found;
  };
  say(`CONNECT {"verbose":false,"pedantic":false,"protocol":1,"lang":"nats.ws","version":"1.30.0",${settings}}\r\nSUB robot.battery 1\r\nPING\r\n`);
  await hears(/PONG\r\n/);
  return { say, hears, end: () => socket.destroy() };
}

for (const [name, settings, head, version] of [
  ["with headers", '"headers":true,"no_responders":true', "HMSG robot\\.battery 1 \\d+ \\d+\r\nNATS/1\\.0\r\n(?:Kseq:[^\r]+\r\n)?Kset: ?", "([^\r]+)\r\n\r\n"],
  ["without headers", '"headers":false', "MSG robot\\.battery 1 \\d+\r\n", ""],
]) {
  test(`a client of 2.1.0 ${name} hears what is set, and is heard`, () =>
    withHubs(2, async (hub, other) => {
      const peer = await oldPeer(settings);
      try {
        const { battery } = hub.robot;
        await battery.ready();
        await battery.set({ percent: 87 });
        const [, stamp] = await peer.hears(new RegExp(`${head}${version}\\{"percent":87\\}\r\n`));
        if (version) assert.match(stamp, /^1\.[0-9A-Za-z]{7}$/);
        await battery.set("text");
        await peer.hears(new RegExp(`${head}${version}text\r\n`));
        await hub.flush();
        assert.equal(await other.robot.battery.ready(), "text");
        peer.say("PUB robot.battery 2\r\n77\r\n"); // an event: it is the value for who is there
        for (const each of [hub, other]) await until(() => each.robot.battery.value === 77);
        await battery.delete();
        await peer.hears(new RegExp(`${head}${version}\r\n`));
        for (const each of [hub, other]) await until(() => each.robot.battery.value === null);
      } finally {
        peer.end();
      }
    }));
}

test("of many sets without a connection each variable's last is sent, and nothing else", () =>
  withHubs(1, async (there) => {
    const got = [];
    await there.many["*"].sub((value, { subject }) => got.push(`${subject} ${value}`));
    const away = new KinopioHub({ servers: [server.ws], autoConnect: false });
    const all = [];
    for (let i = 0; i < 1000; i++) for (const name of ["a", "b"]) all.push(away.many.getVariable(name).set(i, { timeout: 0 }));
    assert.equal(away.status.pendingBytes, 6);
    await away.connect();
    await Promise.all(all); // what was overtaken has been taken care of, too
    await until(() => got.length >= 2);
    await away.flush();
    await there.flush();
    assert.deepEqual(got.sort(), ["many.a 999", "many.b 999"]);
    assert.equal(away.status.pendingBytes, 0);
    await away.dispose();
  }));

test("thousands of values are known to who comes later, also when everything takes long", (t) =>
  withHubs(1, async (hub) => {
    const n = 2000;
    const names = Array.from({ length: n }, (_, i) => `v${i}`);
    const begin = performance.now();
    await Promise.all(names.map((name, i) => hub.big.getVariable(name).set(i, { timeout: 0 })));
    await hub.flush(60_000);
    const set = performance.now();
    const later = new KinopioHub({ servers: [server.ws] });
    await later.connected();
    const opened = performance.now();
    const ready = names.map((name) => later.big.getVariable(name).ready(0));
    for (const busy = performance.now() + 2500; performance.now() < busy; ); // longer than an answer is waited for
    const values = await Promise.all(ready);
    t.diagnostic(`${n} values set in ${(set - begin).toFixed(0)} ms, known to a later hub after ${(performance.now() - opened).toFixed(0)} ms`);
    const wrong = values.findIndex((value, i) => value !== i);
    assert.equal(wrong, -1, `v${wrong} is ${values[wrong]}`);
    assert.equal(later.status.subscriptions, n, "what hubs ask each other by counts for nobody");
    await later.dispose();
  }));

test("a set that nobody awaits is no error when it has to wait", async () => {
  const away = new KinopioHub({ servers: ["ws://127.0.0.1:1"], timeout: 20 });
  const errors = [];
  away.onError((error) => errors.push(error.code));
  away.s.v.set(1);
  away.s.v.set(() => {});
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(errors, ["INVALID_VALUE"]);
  assert.equal(away.s.v.value, 1);
  await away.dispose();
});

test("what was set is not what its owner makes of it later", () =>
  withHubs(2, async (hub, other) => {
    const bytes = Uint8Array.from([1, 2, 255]);
    const sent = hub.s.bytes.set(bytes);
    bytes.fill(9);
    await sent;
    await hub.flush();
    const got = await other.s.bytes.ready();
    assert.deepEqual([...got], [1, 2, 255]);
    got.fill(8);
    await hub.dispose();
    await withHubs(1, async (third) => assert.deepEqual([...(await third.s.bytes.ready())], [1, 2, 255]));
  }));

test("a callback that sets is told of it, and nothing goes round", () =>
  withHubs(1, async (hub) => {
    const { v } = hub.loop;
    await v.ready();
    const seen = [];
    v.onChange((value, exists) => {
      seen.push([value, exists]);
      if (exists && value < 3) v.set(value + 1);
    });
    await v.set(1);
    await until(() => seen.length >= 4);
    await hub.flush();
    assert.deepEqual(seen, [[null, false], [1, true], [2, true], [3, true]]);
  }));

test("methods may be taken off, and nothing is left of a hub that has gone", async () => {
  const hub = new KinopioHub({ servers: [server.ws] });
  const { set, ready, onChange } = hub.taken.off;
  const stop = onChange(() => {});
  await set(5);
  assert.equal(await ready(), 5);
  stop();
  await hub.dispose();
  assert.equal(hub.taken.off.value, 5);
  await until(() => debugAlive().hubs === 0, JSON.stringify(debugAlive()));
});
