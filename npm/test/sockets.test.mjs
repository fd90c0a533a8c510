import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KinopioHub, debugAlive } from "../dist/index.mjs";
import { collector, rejects, until } from "./helpers.mjs";

// A WebSocket class of its own plays a server, or what browsers do when there is none.

const info = `INFO {"server_id":"fake","version":"2.15.0","proto":1,"headers":true,"max_payload":1048576}\r\n`;
const text = (frame) => (typeof frame === "string" ? frame : Buffer.from(frame).toString());

class FakeSocket {
  static made = [];
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  sent = "";
  #in = "";
  constructor(url) {
    this.url = url;
    FakeSocket.made.push(this);
    queueMicrotask(() => this.begin());
  }
  begin() {
    this.open();
    this.frame(info);
  }
  open() {
    this.readyState = 1;
    this.onopen?.({});
  }
  frame(data) {
    const bytes = new TextEncoder().encode(data);
    this.onmessage?.({ data: bytes.buffer });
  }
  send(data) {
    this.sent += text(data);
    this.#in += text(data);
    for (let end; (end = this.#in.indexOf("\r\n")) >= 0; this.#in = this.#in.slice(end + 2)) this.line(this.#in.slice(0, end));
  }
  line(line) {
    if (line === "PING") queueMicrotask(() => this.frame("PONG\r\n"));
  }
  close(code) {
    this.code = code;
    this.readyState = 3;
  }
  end(event) {
    this.readyState = 3;
    this.onclose?.(event);
  }
}

const hubs = [];
function hubWith(WebSocket, options = {}) {
  FakeSocket.made = [];
  const hub = new KinopioHub({ servers: ["ws://fake.example:80/path"], WebSocket, retryDelay: 5, reconnectTimeWait: 5, ...options });
  hubs.push(hub);
  return hub;
}
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.dispose();
  await until(() => debugAlive().sockets === 0 && debugAlive().webSockets === 0);
});

test("the hub speaks through the class that it was given, and closes with 1000", async () => {
  const hub = hubWith(FakeSocket);
  await hub.connected();
  const [socket] = FakeSocket.made;
  assert.equal(socket.url, "ws://fake.example:80/path");
  assert.equal(socket.binaryType, "arraybuffer");
  await hub.a.b.pub("hello");
  await until(() => /\r\nHPUB a\.b 29 34\r\nNATS\/1\.0\r\nKseq:[0-9A-Za-z]{8}\.1\r\n\r\nhello\r\n/.test(socket.sent));
  await hub.dispose();
  assert.equal(socket.code, 1000);
});

test("passwords do not go into the URL of the WebSocket", async () => {
  const hub = hubWith(FakeSocket, { servers: ["ws://me:secret@fake.example/path#x"] });
  await hub.connected();
  assert.equal(FakeSocket.made[0].url, "ws://fake.example:80/path");
  assert.match(FakeSocket.made[0].sent, /"user":"me","pass":"secret"/);
  assert.ok(!hub.status.server.includes("secret"));
});

test("a frame may hold several messages, and a message several frames", async () => {
  class Split extends FakeSocket {
    line(line) {
      super.line(line);
      const sid = /^SUB a\.b .*?(\d+)$/.exec(line)?.[1];
      if (!sid) return;
      queueMicrotask(() => {
        this.frame(`MSG a.b ${sid} 1\r\n1\r\nMSG a.b ${sid} 1\r\n2\r\nMSG a.b ${sid} 7\r\n"th`);
        this.frame(`ree"\r\nMSG a.`);
        this.frame(`b ${sid} 1\r\n4\r\n`);
      });
    }
  }
  const hub = hubWith(Split);
  const got = collector();
  hub.a.b.sub((v) => got.push(v)).catch(() => {});
  assert.deepEqual(await got.take(4), [1, 2, "three", 4]);
});

test("a constructor that throws is an error, not a crash", async () => {
  class Throws {
    constructor() {
      throw new DOMException("mixed content", "SecurityError");
    }
  }
  const hub = hubWith(Throws, { waitOnFirstConnect: false });
  const error = await rejects(hub.connected(), "CONNECT_FAILED");
  assert.match(error.message, /mixed content/);
});

test("error without close is the end", async () => {
  class Refused extends FakeSocket {
    begin() {
      this.readyState = 3;
      this.onerror?.({ message: "refused by the page's policy" });
    }
  }
  const hub = hubWith(Refused, { waitOnFirstConnect: false });
  assert.match((await rejects(hub.connected(), "CONNECT_FAILED")).message, /unreachable.*refused by the page's policy/);
});

test("the end of an open socket is noticed, however it comes", async () => {
  for (const end of [
    (s) => s.end({ wasClean: true, code: 1000 }),
    (s) => s.end({ wasClean: false, code: 1006 }),
    (s) => {
      s.readyState = 3;
      s.onerror({});
    },
    (s) => s.onmessage({ data: "text" }),
  ]) {
    const hub = hubWith(FakeSocket);
    await hub.connected();
    const [first] = FakeSocket.made;
    end(first);
    await until(() => FakeSocket.made.length > 1 && hub.state === "connected");
    assert.equal(hub.status.reconnects, 1);
    await hub.dispose();
  }
});

test("a full socket makes publishing wait", async () => {
  class Slow extends FakeSocket {
    static held = true;
    send(data) {
      super.send(data);
      if (Slow.held) this.bufferedAmount += data.length;
    }
  }
  const hub = hubWith(Slow);
  await hub.connected();
  const [socket] = FakeSocket.made;
  const chunk = "x".repeat(900_000);
  let done = 0;
  const all = Array.from({ length: 100 }, () => hub.a.b.pub(chunk).then(() => done++));
  await until(() => socket.bufferedAmount > 64 << 20);
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(done < 100, "some wait");
  assert.ok(socket.sent.length < 68 << 20, "what waits is not in the socket");
  Slow.held = false;
  socket.bufferedAmount = 0;
  await Promise.all(all);
  assert.equal(socket.sent.match(/\r\nHPUB a\.b (?:29|30) 9000(?:29|30)\r\n/g)?.length, 100);
});

test("dispose does not wait for a full socket", async () => {
  class Stuck extends FakeSocket {
    send(data) {
      super.send(data);
      if (data.length > 1000) this.bufferedAmount = 100 << 20;
    }
  }
  const hub = hubWith(Stuck);
  await hub.connected();
  const pending = Array.from({ length: 4 }, () => hub.a.b.pub("x".repeat(500_000)));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const settled = Promise.allSettled(pending);
  await hub.dispose();
  for (const one of await settled) if (one.status === "rejected") assert.equal(one.reason.code, "DISPOSED");
});
