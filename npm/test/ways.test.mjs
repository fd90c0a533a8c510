import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { afterEach, mock, test } from "node:test";
import { source, until } from "./helpers.mjs";

// The race between WebTransport and a WebSocket, with classes that do what browsers do.

const { Failures, Race, isUsable, wayNow } = await source("ways.ts");
const { Late } = await source("late.ts");
const hash = `${"A".repeat(43)}=`;
const way = (url, hashes = [hash]) => ({ url, certificateHashes: hashes });

class FakeSocket {
  static made = [];
  readyState = 0;
  constructor(url) {
    this.url = url;
    FakeSocket.made.push(this);
  }
  open() {
    this.readyState = 1;
    this.onopen?.({});
  }
  close() {
    this.readyState = 3;
  }
}

/** A session that opens, is refused, or does nothing, as its test says. */
class FakeSession {
  static made = [];
  closes = 0;
  written = [];
  constructor(url, options) {
    Object.assign(this, { url, options });
    FakeSession.made.push(this);
    this.closed = new Promise((_, no) => (this.kill = no));
    this.closed.catch(() => {});
    this.ready = new Promise((yes, no) => ((this.accept = yes), (this.refuse = no)));
    const readable = new ReadableStream({ start: (c) => (this.inward = c) });
    const writable = new WritableStream({ write: (chunk) => this.hold?.then(() => {}) ?? void this.written.push(chunk), close: () => void (this.finished = true) });
    this.incomingBidirectionalStreams = new ReadableStream({ start: (c) => c.enqueue({ readable, writable }) });
  }
  close() {
    this.closes++;
  }
}

const address = "wss://192.168.1.5:443";
const there = way("https://192.168.1.5:443/webtransport");
let failed = 0;

function race({ session = FakeSession, late = new Late(() => failed++), choice = { way: there } } = {}) {
  globalThis.WebTransport = session;
  FakeSocket.made = [];
  FakeSession.made = [];
  failed = 0;
  const it = new Race(address, choice, FakeSocket, late, 7);
  const ends = { winner: undefined, description: "", reason: undefined, late: 0, got: [] };
  it.onlate = () => ends.late++;
  it.onwinner = (winner, description) => {
    Object.assign(ends, { winner, description });
    winner.onmessage = ({ data }) => ends.got.push(...data);
  };
  it.onclose = ({ reason }) => (ends.reason = reason);
  return { it, ends, late, session: FakeSession.made[0] };
}
afterEach(() => delete globalThis.WebTransport);

test("WebTransport is taken when it opens at once, and no WebSocket is made", async () => {
  const { ends, session } = race();
  session.accept();
  await until(() => ends.winner);
  assert.equal(ends.description, "by WebTransport");
  assert.equal(FakeSocket.made.length, 0);
  assert.deepEqual(session.options.serverCertificateHashes.map((h) => [h.algorithm, h.value.length]), [["sha-256", 32]]);
});

test("a session that is refused makes a WebSocket at once", async () => {
  const { ends, session } = race();
  const begin = performance.now();
  session.refuse(new Error("Opening handshake failed."));
  await until(() => FakeSocket.made.length === 1);
  assert.ok(performance.now() - begin < 90, "it waited");
  FakeSocket.made[0].open();
  assert.equal(ends.winner, FakeSocket.made[0]);
  assert.match(ends.description, /by WebSocket.*Opening handshake failed/);
  assert.equal(session.closes, 1);
});

test("a session that hangs does not hold up the WebSocket, and a WebSocket that loses is closed", async () => {
  const { ends, session, late } = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].open();
  assert.equal(ends.winner, FakeSocket.made[0]);
  assert.equal(session.closes, 0); // it goes on
  late.end();
  assert.equal(session.closes, 1);

  const slow = race();
  await until(() => FakeSocket.made.length === 1);
  slow.session.accept();
  await until(() => slow.ends.winner);
  assert.equal(slow.ends.description, "by WebTransport");
  assert.equal(FakeSocket.made[0].readyState, 0); // one that is closed while it connects is an error in the console
  FakeSocket.made[0].open();
  assert.equal(FakeSocket.made[0].readyState, 3);
  assert.equal(slow.ends.description, "by WebTransport");
});

test("what hangs for good is given up, with both reasons", async () => {
  const { ends, late } = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].onerror({});
  assert.equal(ends.reason, undefined);
  await until(() => ends.reason);
  assert.match(ends.reason, /no answer within 900 ms: does a firewall drop UDP.*by WebSocket: it failed/);
  late.end();
});

test("what opens late is told of, and is the next one's with all that it brings", async () => {
  const first = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].onerror({});
  await until(() => first.ends.reason);
  first.session.inward.enqueue(Uint8Array.of(1, 2, 3)); // a server speaks first
  first.session.accept();
  await until(() => first.ends.late === 1);
  const choice = wayNow(address, [there], first.late);
  assert.equal(choice.attempt.session.readyState, 1);
  const second = race({ late: first.late, choice });
  await until(() => second.ends.winner);
  assert.equal(second.ends.description, "by WebTransport");
  assert.deepEqual([FakeSession.made.length, FakeSocket.made.length], [0, 0]);
  first.session.inward.enqueue(Uint8Array.of(4));
  await until(() => second.ends.got.length === 4);
  assert.deepEqual(second.ends.got, [1, 2, 3, 4]);
  assert.equal(first.late.has(choice.attempt.key), false);
});

test("who dials while a handshake goes on waits for that one, and a WebSocket is made at once", async () => {
  const first = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].open();
  const choice = wayNow(address, [there], first.late);
  assert.ok(choice.attempt);
  const begin = performance.now();
  const second = race({ late: first.late, choice });
  await until(() => FakeSocket.made.length === 1);
  assert.ok(performance.now() - begin < 90, "it waited");
  assert.equal(FakeSession.made.length, 0);
  first.session.accept();
  await until(() => second.ends.winner);
  assert.equal(second.ends.description, "by WebTransport");
});

test("other addresses have their turn while one goes on, up to a bound", () => {
  globalThis.WebTransport = FakeSession;
  const now = performance.now;
  performance.now = () => now.call(performance) + 600_000; // what failed before is forgotten
  const late = new Late(() => failed++);
  const ways = Array.from({ length: 6 }, (_, i) => way(`https://192.168.1.${i + 5}`));
  const tried = [];
  for (let i = 0; i < 4; i++) {
    const { way, attempt } = wayNow(address, ways, late);
    assert.equal(attempt, undefined);
    tried.push(way.url);
    late.keep({ key: JSON.stringify([way.url, way.certificateHashes]), begun: performance.now(), session: { readyState: 0, hold() {}, terminate() {} } }, 7, () => {});
  }
  assert.equal(new Set(tried).size, 4);
  const { attempt } = wayNow(address, ways, late); // no fifth one
  assert.ok(attempt);
  late.end();
  performance.now = now;
});

test("late handshakes end by themselves, with their hub, and when nobody comes for them", async () => {
  mock.timers.enable({ apis: ["setTimeout"] });
  try {
    const session = () => ({ readyState: 0, ends: 0, hold() {}, terminate() { this.ends++; this.readyState = 3; } });
    failed = 0;
    const late = new Late(() => failed++);
    const [slow, ended, unwanted, broken] = [session(), session(), session(), session()];
    const all = { slow, ended, unwanted, broken };
    for (const [key, one] of Object.entries(all)) late.keep({ key, begun: performance.now(), session: one }, one === ended ? 8 : 7, () => {});
    const tooMany = session();
    late.keep({ key: "another", begun: performance.now(), session: tooMany }, 7, () => {});
    assert.deepEqual([tooMany.ends, failed], [1, 1]);
    late.end(8);
    assert.deepEqual([ended.ends, slow.ends, failed], [1, 0, 2]);
    unwanted.readyState = broken.readyState = 1;
    unwanted.onopen({});
    broken.onopen({});
    broken.readyState = 3;
    broken.onclose({ reason: "" });
    assert.deepEqual([late.has("broken"), failed], [false, 2]); // it was open: no handshake has failed
    mock.timers.tick(5000);
    assert.deepEqual([unwanted.ends, slow.ends, failed], [1, 0, 2]);
    mock.timers.tick(70_000);
    assert.deepEqual([slow.ends, failed], [1, 3]);
    assert.deepEqual(Object.keys(all).filter((key) => late.has(key)), []);
  } finally {
    mock.timers.reset();
  }
});

test("what the browser does not even try is no end", async () => {
  class Forbidden {
    constructor() {
      throw new Error("SecurityError");
    }
  }
  const { ends } = race({ session: Forbidden });
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].open();
  assert.match(ends.description, /SecurityError/);
});

test("close ends both, whatever follows", async () => {
  const { it, ends, session } = race();
  await until(() => FakeSocket.made.length === 1);
  it.close();
  assert.equal(session.closes, 1);
  assert.equal(FakeSocket.made[0].readyState, 3);
  session.accept();
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(ends.winner, undefined);
});

test("a session is a socket: bytes both ways, what waits is counted, FIN is the clean end", async () => {
  const { ends, session } = race();
  session.accept();
  await until(() => ends.winner);
  const socket = ends.winner;
  const got = [];
  let end;
  socket.onmessage = ({ data }) => got.push(...data);
  socket.onclose = (event) => (end = event);
  session.inward.enqueue(Uint8Array.of(1, 2));
  await until(() => got.length === 2);
  let go;
  session.hold = new Promise((resolve) => (go = resolve));
  socket.send(new Uint8Array(1000));
  socket.send(new Uint8Array(500));
  assert.equal(socket.bufferedAmount, 1500);
  go();
  await until(() => socket.bufferedAmount === 0);
  session.inward.close();
  await until(() => end);
  assert.deepEqual([end.wasClean, end.code], [true, 1000]);
  assert.equal(session.closes, 1);
});

test("close writes what was sent before, and one that breaks is unclean", async () => {
  const first = race();
  first.session.accept();
  await until(() => first.ends.winner);
  first.ends.winner.send(Uint8Array.of(7));
  first.ends.winner.close();
  await until(() => first.session.finished);
  assert.deepEqual(first.session.written.map((chunk) => [...chunk]), [[7]]);
  assert.equal(first.session.closes, 0); // until the leaf has ended it, too

  const second = race();
  second.session.accept();
  await until(() => second.ends.winner);
  let end;
  second.ends.winner.onclose = (event) => (end = event);
  second.session.inward.error(new Error("Connection lost."));
  await until(() => end);
  assert.deepEqual([end.wasClean, end.reason], [false, "Connection lost."]);
});

test("failures make attempts rare, and are forgotten after five minutes", () => {
  let now = 0;
  const failures = new Failures(() => now);
  assert.equal(failures.pause(), 0);
  const tried = [];
  while (now < 30 * 60_000) { // each attempt fails
    now += failures.pause();
    tried.push(now);
    failures.add();
    const lately = tried.filter((at) => now - at < 5 * 60_000).length;
    assert.ok(lately <= 9, `${lately} in five minutes`);
  }
  assert.deepEqual(tried.slice(0, 5), [0, 1000, 5000, 21_000, 81_000]);
  now += 5 * 60_000;
  assert.equal(failures.pause(), 0);
});

test("ways that lead elsewhere, or are none, are not taken", () => {
  const { usable, unusable, noHashes } = JSON.parse(readFileSync(new URL("../../transport/ways/testdata/ways.json", import.meta.url), "utf8"));
  const host = (leaf) => new URL(`wss://${leaf}`).hostname;
  for (const [url, leaf] of usable) assert.ok(isUsable(way(url), host(leaf)), `${url} of ${leaf}`);
  for (const [url, leaf] of [...unusable, [undefined, "192.168.1.5"]]) assert.ok(!isUsable(way(url), host(leaf)), `${url} of ${leaf}`);
  for (const hashes of [undefined, "x", [1], ...noHashes]) {
    assert.ok(!isUsable({ url: "https://192.168.1.5", certificateHashes: hashes }, "192.168.1.5"), String(hashes));
  }
  globalThis.WebTransport = FakeSession;
  for (const said of [null, undefined, 1, {}, [null], [1], ["x"], [[]]]) assert.equal(wayNow("wss://192.168.1.5", said, new Late(() => {})), undefined);
});

test("where there is no WebTransport there is no way", () => {
  assert.equal(wayNow("wss://192.168.1.5", [way("https://192.168.1.5")], new Late(() => {})), undefined);
});
