import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { source, until } from "./helpers.mjs";

// The race between WebTransport and a WebSocket, with classes that do what browsers do.

const { Failures, Race, isUsable, wayNow } = await source("ways.ts");
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

function race({ session = FakeSession, address = "wss://192.168.1.5:443" } = {}) {
  globalThis.WebTransport = session;
  FakeSocket.made = [];
  FakeSession.made = [];
  const it = new Race(address, way("https://192.168.1.5:443/webtransport"), FakeSocket);
  const ends = { winner: undefined, description: "", reason: undefined };
  it.onwinner = (winner, description) => Object.assign(ends, { winner, description });
  it.onclose = ({ reason }) => (ends.reason = reason);
  return { it, ends, session: FakeSession.made[0] };
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

test("a session that hangs does not hold up the WebSocket, and the one that loses is closed", async () => {
  const { ends, session } = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].open();
  assert.equal(ends.winner, FakeSocket.made[0]);
  assert.equal(session.closes, 1);
  session.accept(); // too late
  await new Promise((resolve) => setTimeout(resolve, 20));
  assert.equal(ends.winner, FakeSocket.made[0]);

  const slow = race();
  await until(() => FakeSocket.made.length === 1);
  slow.session.accept();
  await until(() => slow.ends.winner);
  assert.equal(slow.ends.description, "by WebTransport");
  assert.equal(FakeSocket.made[0].readyState, 3);
});

test("what hangs for good is given up, with both reasons", async () => {
  const { ends } = race();
  await until(() => FakeSocket.made.length === 1);
  FakeSocket.made[0].onerror({});
  assert.equal(ends.reason, undefined);
  await until(() => ends.reason);
  assert.match(ends.reason, /no answer within 900 ms: does a firewall drop UDP.*by WebSocket: it failed/);
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
  const good = [
    ["https://192.168.1.5:4443/webtransport", "192.168.1.5"],
    ["https://10.0.0.1:1", "leaf.local"],
    ["https://172.31.0.1", "192.168.1.5"],
    ["https://100.64.1.1", "studio"],
    ["https://[fd00::1]:4443/", "192.168.1.5"],
    ["https://127.0.0.1:1", "127.0.0.1"],
    ["https://127.0.0.1:1", "localhost"],
    ["https://8.8.8.8", "8.8.8.8"], // the hub has judged it
  ];
  for (const [url, leaf] of good) assert.ok(isUsable(way(url), leaf), `${url} of ${leaf}`);
  const bad = [
    ["https://8.8.8.8", "192.168.1.5"],
    ["https://172.32.0.1", "192.168.1.5"],
    ["https://100.128.0.1", "192.168.1.5"],
    ["https://evil.example", "192.168.1.5"],
    ["https://10.evil.example", "192.168.1.5"],
    ["https://127.0.0.1", "192.168.1.5"], // another permission
    ["https://192.168.1.5", "127.0.0.1"],
    ["http://192.168.1.5", "192.168.1.5"],
    ["https://me:secret@192.168.1.5", "192.168.1.5"],
    ["nonsense", "192.168.1.5"],
    [undefined, "192.168.1.5"],
  ];
  for (const [url, leaf] of bad) assert.ok(!isUsable(way(url), leaf), `${url} of ${leaf}`);
  for (const hashes of [undefined, [], "x", [1], ["short"], [`${"!".repeat(43)}=`], Array(5).fill(hash)]) {
    assert.ok(!isUsable({ url: "https://192.168.1.5", certificateHashes: hashes }, "192.168.1.5"), String(hashes));
  }
  globalThis.WebTransport = FakeSession;
  for (const said of [null, undefined, 1, {}, [null], [1], ["x"], [[]]]) assert.equal(wayNow("wss://192.168.1.5", said), undefined);
});

test("where there is no WebTransport there is no way", () => {
  assert.equal(wayNow("wss://192.168.1.5", [way("https://192.168.1.5")]), undefined);
});
