import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import vm from "node:vm";
import KinopioHub from "../dist/index.mjs";
import { rejects, root, source, startServer } from "./helpers.mjs";

let server;
let hub;
before(async () => {
  server = await startServer();
  hub = new KinopioHub({ servers: [server.ws] });
  await hub.connected();
});
after(async () => {
  await hub.dispose();
  await server.stop();
});

const bytes = [1, 0, 200, 255];
/** What a subscriber of another variable's hub gets. */
async function passed(value) {
  const { v } = hub.bytes;
  const got = new Promise((yes) => v.sub((data) => yes(data), { max: 1 }));
  await v.pub(value);
  return got;
}

test("bytes of every kind and every realm go as bytes", async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(4));
  shared.set(bytes);
  const context = vm.createContext({});
  const foreign = (code) => vm.runInContext(code, context);
  class Aliasing extends Uint8Array {
    slice(...range) {
      return this.subarray(...range);
    }
  }
  for (const [name, value] of Object.entries({
    Uint8Array: Uint8Array.from(bytes),
    Buffer: Buffer.from(bytes),
    "a subclass": Aliasing.from(bytes),
    ArrayBuffer: Uint8Array.from(bytes).buffer,
    DataView: new DataView(Uint8Array.from([9, ...bytes, 9]).buffer, 1, 4),
    SharedArrayBuffer: shared.buffer,
    "a view of shared memory": shared,
    "ArrayBuffer of another realm": foreign(`Uint8Array.from([${bytes}]).buffer`),
    "Uint8Array of another realm": foreign(`Uint8Array.from([${bytes}])`),
    "DataView of another realm": foreign(`new DataView(Uint8Array.from([${bytes}]).buffer)`),
  })) {
    const got = await passed(value);
    assert.ok(got instanceof Uint8Array, name);
    assert.deepEqual([...got], bytes, name);
  }
});

test("what JSON would make an empty object of is refused, with what to send instead", async () => {
  const { v } = hub.refused;
  for (const [kind, value] of Object.entries({
    Map: new Map([[1, 2]]), Set: new Set([1]), Error: new Error("x"), Promise: Promise.resolve(1), Blob: new Blob(["x"]),
    RegExp: /x/, WeakMap: new WeakMap(), "Map ": vm.runInNewContext("new Map()"), File: new (globalThis.File ?? Blob)(["x"], "x"),
  })) {
    for (const where of [value, { deep: { inside: [value] } }]) {
      const error = await rejects(v.pub(where), "INVALID_VALUE");
      assert.match(error.message, /of which JSON has nothing: (send|await)/, kind);
      if (where !== value) assert.match(error.message, /deep\.inside\.0/);
    }
  }
  await rejects(v.pub(Object.assign(new Error("x"), { code: 1 })), "INVALID_VALUE");
  class Empty {}
  for (const fine of [{}, [{}], new Empty(), { a: {}, b: "{}" }, new Date(0), new URL("http://a/"), { at: new Date(0), e: {} }, Object.create(null)]) await v.pub(fine);
  await hub.flush();
});

test("what was handed over is neither written to nor read later", async () => {
  const { v } = hub.memory;
  const one = Buffer.alloc(100_000, 1);
  const two = Buffer.alloc(100_000, 2);
  const small = [Buffer.from("first"), Buffer.from("other")];
  for (const [first, second] of [[one, two], small]) {
    const before = Buffer.from(first);
    await v.pub(first);
    await v.pub(second);
    assert.ok(first.equals(before), "the first file has become the second");
    second.fill(7);
    assert.notEqual(v.value[0] ?? v.value.codePointAt(0), 7);
  }
});

const run = promisify(execFile);
/** A program in a process of its own, in which an unhandled rejection is the end. */
async function program(code) {
  const { stdout, stderr } = await run(process.execPath, ["--unhandled-rejections=strict", "--input-type=module", "-e", `import KinopioHub from "./dist/index.mjs";\n${code}`], { cwd: root, timeout: 60_000 });
  return { stdout: stdout.trim(), stderr };
}

test("a call that nobody awaits ends no program, and its failure goes to onError", async () => {
  const { stdout } = await program(`
    const away = new KinopioHub({ servers: ["ws://127.0.0.1:1"], timeout: 50, reconnectTimeWait: 10 });
    const heard = [];
    away.onError((error) => heard.push(error.code));
    const { variable } = away.scope;
    const beat = setInterval(() => {
      variable.pub(1);
      variable.req(1);
      variable.reqMany(1, { window: 50 });
      variable.ready(20);
      variable.pub(() => {});
      away.flush(20);
      away.connected(20);
    }, 10);
    while (new Set(heard).size < 3) await new Promise((next) => setTimeout(next, 10));
    clearInterval(beat);
    variable.sub(() => {});
    variable.serve(() => 1);
    await away.dispose();
    variable.pub(1);
    console.log([...new Set(heard)].sort().join());`);
  assert.equal(stdout, "DISCONNECTED,INVALID_VALUE,TIMEOUT");
});

test("a call that is awaited rejects, and tells nobody else", async () => {
  const { stdout, stderr } = await program(`
    const hub = new KinopioHub({ servers: ["${server.ws}"] });
    const heard = [];
    hub.onError((error) => heard.push(error.code));
    const nobody = hub.scope.nobody;
    const codes = [];
    const note = (error) => void codes.push(error.code);
    try { await nobody.req(1); } catch (error) { note(error); }
    await nobody.req(1).catch(note);
    await nobody.pub(() => {}).then(null, note);
    await Promise.allSettled([nobody.req(1)]).then(([one]) => note(one.reason));
    await new Promise((next) => setTimeout(next, 50));
    console.log(codes.join(), heard.length);
    await hub.dispose();`);
  assert.equal(stdout, "NO_RESPONDERS,NO_RESPONDERS,INVALID_VALUE,NO_RESPONDERS 0");
  assert.equal(stderr, "");
});

test("what a callback throws is on the console, once a kind, with where, unless somebody listens", async () => {
  const { stderr } = await program(`
    const hub = new KinopioHub({ servers: ["${server.ws}"] });
    let n = 0;
    await hub.scope.v.sub(function mine() { n++; throw new Error("my own mistake"); });
    for (let i = 0; i < 3; i++) await hub.scope.v.pub(i);
    while (n < 3) await new Promise((next) => setTimeout(next, 5));
    await hub.dispose();`);
  assert.equal(stderr.match(/CALLBACK_FAILED/g)?.length, 1, stderr);
  assert.match(stderr, /my own mistake[^]*at [^\n]*mine/);
});

test("what waits too long says for whom, how long, and whether it goes on", async () => {
  const away = new KinopioHub({ servers: ["ws://127.0.0.1:1"] });
  await hub.late.slow.serve(() => new Promise(() => {}));
  for (const [promise, code, ...texts] of [
    [hub.late.nobody.req(1), "NO_RESPONDERS", "nobody serves late.nobody"],
    [hub.late.nobody.reqMany(1, { window: 5000 }), "NO_RESPONDERS", "nobody serves late.nobody"],
    [hub.late.slow.req(1, { timeout: 40 }), "TIMEOUT", "late.slow in 40 ms"],
    [away.late.never.ready(30), "TIMEOUT", "30 ms", "late.never"],
    [away.connected(60), "TIMEOUT", "60 ms", "goes on trying"],
    [away.connect(70), "TIMEOUT", "70 ms", "goes on trying"],
  ]) {
    const error = await rejects(promise, code);
    for (const text of texts) assert.ok(error.message.includes(text), `${text} is missing in ${error.message}`);
  }
  assert.equal(away.state, "connecting");
  const ready = away.late.some.ready(0); // without a bound, as connected(0)
  away.late.some.pub("here");
  assert.equal(await ready, "here");
  await away.dispose();
});

/** How long n of something take, in milliseconds, at best. */
async function fastest(n, what) {
  let best = Infinity;
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    await what(n);
    best = Math.min(best, performance.now() - begin);
  }
  return best;
}

test("twelve times as much takes no thirty times as long", async (t) => {
  const { many, asked, slow } = hub.quick;
  const work = {
    "subscriptions that come and go": async (n) => {
      const all = [];
      for (let i = 0; i < n; i++) all.push(many.sub(() => {}));
      for (const subscription of await Promise.all(all)) subscription.unsubscribe();
    },
    "the status in a callback": async (n) => {
      let left = n;
      const done = new Promise((yes) => void asked.sub(() => void (hub.status.state && --left === 0 && yes()), { max: n }));
      await hub.flush();
      for (let i = 0; i < n; i++) asked.pub(i);
      await done;
    },
    "a backlog in a loop": async (n) => {
      const subscription = await slow.sub({ max: n });
      for (let i = 0; i < n; i++) slow.pub(i);
      await hub.flush();
      let got = 0;
      for await (const message of subscription) got += message.data === got ? 1 : NaN;
      assert.equal(got, n);
    },
  };
  for (const [what, few] of [["subscriptions that come and go", 1000], ["the status in a callback", 150], ["a backlog in a loop", 8000]]) {
    const one = await fastest(few, work[what]);
    const many = await fastest(few * 12, work[what]);
    t.diagnostic(`${what}: ${few} in ${one.toFixed(1)} ms, ${few * 12} in ${many.toFixed(1)} ms`);
    assert.ok(many < 30 * one + 100, `${what}: ${few} take ${one} ms, ${few * 12} take ${many} ms`);
  }
});

test("an observer that was added twice is told twice, and ends once at a time", async () => {
  const own = new KinopioHub({ servers: [server.ws], autoConnect: false });
  let told = 0;
  const observer = () => told++;
  const first = own.onStateChange(observer);
  own.onStateChange(observer);
  first();
  first();
  await own.connect();
  const once = told;
  assert.ok(once > 0);
  own.offStateChange(observer);
  await own.dispose();
  assert.equal(told, once);
});

test("what waits for a service is bounded: who asks beyond that is told so, and a drain answers what waits", async () => {
  const { Service } = await source("service.ts");
  const answers = [];
  const reports = [];
  const request = (n, size = 1) => ({
    data: n, size, reply: "inbox", subject: "flood.f",
    answer: async (data, headers) => void answers.push([data, headers && Buffer.from(headers).toString().split("\0")]),
  });
  let release;
  const held = new Promise((yes) => (release = yes));
  let drained = 0;
  let flushed = 0;
  const service = new Service("flood.f", (n) => held.then(() => n), {}, 1, (error) => reports.push(error), () => {}, async () => void drained++, async () => void flushed++);
  const limit = 512 << 10;
  for (let n = 0; n < limit + 3; n++) service.deliver(request(n));
  await new Promise(setImmediate);
  assert.equal(answers.length, 2, "two are one too many for the handler and the queue");
  for (const [, headers] of answers) assert.deepEqual(headers.slice(0, 4), ["Nats-Service-Error", "too many requests wait for flood.f", "Nats-Service-Error-Code", "503"]);
  assert.deepEqual(reports.map((error) => error.code), ["SLOW_CONSUMER"]);

  let over = false;
  const end = service.drain().then(() => (over = true));
  await new Promise(setImmediate);
  assert.ok(!over && drained === 1, "the drain waits for the handlers");
  release();
  await end;
  assert.equal(answers.length, limit + 3, "everything is answered");
  assert.equal(flushed, 1, "the server has the answers");
  await service.drain(); // it may be called again
  assert.equal(drained, 1);

  const large = [];
  const other = new Service("flood.g", () => new Promise(() => {}), {}, 1, () => {}, () => {}, async () => {}, async () => {});
  for (let n = 0; n < 5; n++) other.deliver({ ...request(n, 30 << 20), answer: async () => void large.push(n) });
  await new Promise(setImmediate);
  assert.deepEqual(large, [3, 4], "64 MiB wait");
});

test("own values that others see elsewhere hide nothing for long, and what was read is never written to again", async () => {
  const quiet = new KinopioHub({ servers: [server.ws], noEcho: true });
  await quiet.connected();
  const v = quiet.kept.bytes;
  await v.pub(Uint8Array.from([255, 2, 3]));
  const first = v.value;
  for (let n = 0; n < 5; n++) await v.pub(Uint8Array.from([255, n, n]));
  assert.deepEqual([...first], [255, 2, 3], "bytes that were read have changed");
  const read = [];
  for (let n = 0; n < 5; n++) {
    const sent = v.pub(Uint8Array.from([255, 9, n]));
    read.push(v.value);
    await sent;
  }
  assert.deepEqual(read.map((bytes) => bytes[2]), [0, 1, 2, 3, 4]);
  await quiet.dispose();
});
