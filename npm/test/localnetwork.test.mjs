import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { KinopioHub, debugAlive } from "../dist/index.mjs";
import { until } from "./helpers.mjs";

// A page from the internet whose browser the test plays: above all one that has asked its user
// and waits, which a headless browser never does.

const leaf = "wss://192.168.1.2:443";
const info = `INFO {"server_id":"fake","version":"2.15.0","proto":1,"headers":true,"max_payload":1048576}\r\n`;

class FakeSocket {
  static made = [];
  readyState = 0;
  bufferedAmount = 0;
  binaryType = "blob";
  #in = "";
  constructor(url) {
    this.url = url;
    FakeSocket.made.push(this);
    if (url.startsWith(leaf)) return; // nothing answers
    queueMicrotask(() => {
      this.readyState = 1;
      this.onopen?.({});
      this.#say(info);
    });
  }
  #say(text) {
    this.onmessage?.({ data: new TextEncoder().encode(text).buffer });
  }
  send(data) {
    this.#in += Buffer.from(data).toString();
    for (let end; (end = this.#in.indexOf("\r\n")) >= 0; this.#in = this.#in.slice(end + 2)) {
      if (this.#in.startsWith("PING")) queueMicrotask(() => this.#say("PONG\r\n"));
    }
  }
  close(code) {
    this.code = code;
    this.readyState = 3;
  }
}

/** A request that makes the browser ask its user: it stays open until the user has answered. */
class Question extends FakeSocket {
  static asked = [];
  constructor(url) {
    super(url);
    FakeSocket.made.pop();
    Question.asked.push(this);
  }
}

class Permission extends EventTarget {
  state = "prompt";
  listeners = 0;
  addEventListener(...args) {
    this.listeners++;
    super.addEventListener(...args);
  }
  removeEventListener(...args) {
    this.listeners--;
    super.removeEventListener(...args);
  }
  become(state) {
    this.state = state;
    this.dispatchEvent(new Event("change"));
  }
}

const kept = [];
let looks;
function play(query) {
  const page = new EventTarget();
  looks = 0;
  FakeSocket.made = [];
  Question.asked = [];
  const globals = {
    location: { href: "https://app.example.com/", origin: "https://app.example.com" },
    isSecureContext: true,
    navigator: query === undefined ? {} : { permissions: { query } },
    addEventListener: page.addEventListener.bind(page),
    removeEventListener: page.removeEventListener.bind(page),
    WebSocket: Question,
    fetch: async () => {
      looks++;
      return Response.json({ version: "1", wssUrl: leaf, expiresAt: "2999-01-01T00:00:00Z", fallbackServers: [] });
    },
  };
  for (const [name, value] of Object.entries(globals)) {
    kept.push([name, Object.getOwnPropertyDescriptor(globalThis, name)]);
    Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
  }
}

const hubs = [];
async function open(discovery = {}) {
  const hub = new KinopioHub({
    servers: ["wss://nats.example.com:443"], WebSocket: FakeSocket,
    discovery: { enabled: true, cacheTtlMs: 20, localSwitchTimeoutMs: 100, ...discovery },
  });
  hubs.push(hub);
  await hub.connected();
  return hub;
}
afterEach(async () => {
  for (const hub of hubs.splice(0)) await hub.dispose();
  await until(() => debugAlive().sockets === 0);
  for (const [name, descriptor] of kept.splice(0)) {
    if (descriptor) Object.defineProperty(globalThis, name, descriptor);
    else delete globalThis[name];
  }
});

const becomes = (hub, state) => until(() => hub.discoveryStatus.state === state, `${state}, is ${JSON.stringify(hub.discoveryStatus)}`);
const dials = () => FakeSocket.made.filter((socket) => socket.url.startsWith(leaf)).length;

function permissions() {
  const all = { "local-network": new Permission(), "loopback-network": new Permission() };
  play(async ({ name }) => {
    if (!all[name]) throw new TypeError(`no permission ${name}`);
    return all[name];
  });
  return all;
}

test("while the browser's question is open, the session goes on and nothing else reaches for the leaf", async () => {
  const all = permissions();
  const hub = await open();
  const said = [];
  hub.onDiscovery(({ state }) => said.push(state));
  await becomes(hub, "permission-needed");
  const before = looks;
  await until(() => looks > before + 2, "the page's own manifest needs no permission");
  assert.deepEqual([Question.asked.length, dials()], [0, 0], "nothing by surprise");

  const answer = hub.requestLocalNetwork();
  await until(() => Question.asked.length === 1);
  assert.equal(Question.asked[0].url, leaf);
  for (let i = 0; i < 5; i++) await hub.flush();
  assert.equal(dials(), 0);
  assert.equal(hub.state, "connected");

  all["local-network"].become("granted");
  await until(() => dials() === 1, "one try after the grant");
  assert.equal(Question.asked[0].code, 1000, "the question is closed");
  assert.equal((await answer).state, "untrusted-or-unreachable"); // nothing answers there
  assert.ok(said.includes("switching"));
  assert.equal(hub.status.reconnects, 0);
  await hub.dispose();
  assert.equal(hub.discoveryStatus.state, "idle");
  assert.deepEqual([all["local-network"].listeners], [0], "listeners are gone");
});

test("a no ends the search until the permission changes", async () => {
  const all = permissions();
  const hub = await open();
  await becomes(hub, "permission-needed");
  const answer = hub.requestLocalNetwork();
  await until(() => Question.asked.length === 1);
  all["local-network"].become("denied");
  assert.equal((await answer).state, "permission-denied");
  const before = looks;
  for (let i = 0; i < 20; i++) await hub.flush();
  await new Promise((resolve) => setTimeout(resolve, 60)); // three intervals in which nothing may happen
  assert.deepEqual([looks, dials()], [before, 0]);
  all["local-network"].become("granted");
  await until(() => dials() > 0);
});

test("a question that is put aside may be asked again by another click", async () => {
  permissions();
  const hub = await open();
  await becomes(hub, "permission-needed");
  for (let click = 1; click <= 2; click++) {
    const answer = hub.requestLocalNetwork();
    await until(() => Question.asked.length === click);
    Question.asked.at(-1).onerror({});
    const { state, detail } = await answer;
    assert.equal(state, "untrusted-or-unreachable");
    assert.match(detail, /put aside/);
  }
  assert.equal(dials(), 0);
});

test("a page that came from the LAN after all goes on without a permission", async () => {
  permissions();
  const hub = await open();
  await becomes(hub, "permission-needed");
  const answer = hub.requestLocalNetwork();
  await until(() => Question.asked.length === 1);
  Question.asked[0].onopen({});
  await answer;
  assert.ok(dials() > 0);
});

for (const [name, query] of [
  ["rejects", async () => { throw new TypeError("'local-network' is not a valid enum value"); }],
  ["throws", () => { throw new TypeError("'local-network' is not a valid enum value"); }],
  ["does not exist", undefined],
]) {
  test(`a browser whose query ${name} has no such permission: the leaf is tried`, async () => {
    play(query);
    await open();
    await until(() => dials() > 0);
    assert.equal(Question.asked.length, 0);
  });
}

test("never reaches for nothing, whatever is granted", async () => {
  const all = permissions();
  all["local-network"].state = all["loopback-network"].state = "granted";
  const hub = await open({ localNetwork: "never" });
  await becomes(hub, "permission-denied");
  assert.equal((await hub.requestLocalNetwork()).state, "permission-denied");
  assert.deepEqual([Question.asked.length, dials()], [0, 0]);
});

test("without discovery there is nothing to ask for", async () => {
  const hub = await open({ enabled: false });
  await assert.rejects(hub.requestLocalNetwork(), { code: "INVALID_CONFIG", message: /Discovery\.Enabled/ });
  assert.deepEqual(hub.discoveryStatus, { state: "idle", detail: "" });
});
