import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import KinopioHub from "../dist/index.mjs";
import { collector, dist, rejects, root, source, startServer, until } from "./helpers.mjs";

// What Go's machine of presence has done, written down by internal/presence.
const { lives } = JSON.parse(readFileSync(new URL("../../conformance/presence.json", import.meta.url), "utf8"));
const { Machine } = await source("presence/machine.ts");

const given = (text) => text.replace(/\{x(\d+)\}/g, (_, n) => "x".repeat(n));
const shown = (text) => text.replace(/x{20,}/g, (x) => `{x${x.length}}`);

/** How each method is called with what is written down, and what of its result is. */
const methods = {
  effects: (m) => m.effects().map(({ kind, id, data }) => [kind, id, shown(data)]),
  next: (m) => m.next(),
  members: (m) => m.all().map(({ id, data }) => [id, shown(data)]),
  join: (m, now, data) => m.join(now, given(data)),
  leave: (m, now) => m.leave(now),
  watch: (m, now) => m.watch(now),
  unwatch: (m) => m.unwatch(),
  linked: (m, now) => m.linked(now),
  unlinked: (m) => m.unlinked(),
  tick: (m, now) => m.tick(now),
  heard: (m, now, text) => m.heard(now, given(text)),
  heardRoll: (m, now, text) => m.heardRoll(now, given(text)),
  listed: (m, now, text) => m.listed(now, given(text)),
  unanswered: (m, now) => m.unanswered(now),
  asked: (m) => m.asked().map(shown),
  knows: (m) => m.knows,
};

for (const { name, id, steps } of lives) {
  test(`a machine lives as Go's did: ${name}`, () => {
    let drawn = [];
    const machine = new Machine(id, (below) => {
      const [bound, value] = drawn.shift() ?? [];
      assert.equal(below, bound, "what is drawn");
      return value;
    });
    assert.ok(steps.length > 0);
    steps.forEach(([method, args, draws, result], i) => {
      const where = `step ${i + 1}: ${method} ${JSON.stringify(args)}`;
      drawn = [...draws];
      assert.deepEqual(methods[method](machine, ...args) ?? null, result, where);
      assert.equal(drawn.length, 0, `${where}: ${drawn.length} numbers were not drawn`);
    });
    assert.deepEqual(machine.effects(), []);
  });
}

test("no more members are known than 4,096", () => {
  const machine = new Machine("MMMMMMMMMM", () => 0);
  machine.linked(1);
  machine.watch(1);
  for (let i = 0; i < 5000; i++) machine.heard(2, `here ${String(i).padStart(10, "0")} 1 0\n`);
  assert.equal(machine.all().length, 4096);
  for (let i = 0; i < 5000; i++) machine.heard(3, `left ${String(i).padStart(10, "0")} 2`);
  assert.equal(machine.all().length, 0);
});

// With real servers.

let server;
before(async () => {
  server = await startServer("--twin");
});
after(() => server.stop());

/** Opens hubs, gives them to `use`, and ends them. */
async function withHubs(n, use, options) {
  const hubs = Array.from({ length: n }, () => new KinopioHub({ servers: [server.ws], ...options }));
  try {
    await Promise.all(hubs.map((hub) => hub.connected()));
    await use(...hubs);
  } finally {
    await Promise.all(hubs.map((hub) => hub.dispose()));
  }
}

/** What a hub is told of who is in a scope. */
function follow(presence) {
  const book = { here: new Map(), news: [], left: 0 };
  book.stop = presence.onChange(({ kind, member }) => {
    assert.equal(book.here.has(member.id), kind !== "joined", `${kind} of ${member.id}`);
    if (kind === "left") book.here.delete(member.id);
    else book.here.set(member.id, member.data);
    if (kind === "left") book.left++;
    book.news.push(`${kind} ${JSON.stringify(member.data)}${member.self ? " self" : ""}`);
  });
  book.is = (...data) => JSON.stringify([...book.here.values()].map((one) => JSON.stringify(one)).sort()) === JSON.stringify(data.map((one) => JSON.stringify(one)).sort());
  return book;
}

test("members join, change and leave, and who comes later learns who is there", () =>
  withHubs(3, async (a, b, looking) => {
    const { presence } = a.crowd;
    assert.equal(presence, a.getScope("crowd").presence);
    assert.equal(a.status.subscriptions, 0, "a look begins nothing");
    const book = follow(b.crowd.presence);
    presence.join({ name: "Ada" });
    const [{ id }] = presence.members;
    assert.match(id, /^[0-9A-Z]{10}$/);
    assert.deepEqual(presence.members, [{ id, data: { name: "Ada" }, self: true }]);
    assert.equal(presence.members, presence.members);
    await until(() => book.is({ name: "Ada" }));
    b.crowd.presence.join("Bob");
    await until(() => book.is({ name: "Ada" }, "Bob"));
    const members = await looking.crowd.presence.ready();
    assert.deepEqual(members.map(({ data, self }) => [data, self]).sort((x) => (x[0] === "Bob" ? 1 : -1)), [[{ name: "Ada" }, false], ["Bob", false]]);
    presence.update({ name: "Ada", typing: true });
    presence.update({ name: "Ada", typing: true });
    await until(() => book.is({ name: "Ada", typing: true }, "Bob"));
    presence.join(Uint8Array.from([0xff, 0, 0x80]));
    await until(() => b.crowd.presence.members.find((one) => one.id === id).data instanceof Uint8Array);
    assert.deepEqual([...b.crowd.presence.members.find((one) => one.id === id).data], [0xff, 0, 0x80]);
    presence.join("é 😀");
    await until(() => book.is("é 😀", "Bob"));
    presence.leave();
    await until(() => book.is("Bob"));
    presence.join();
    await until(() => book.is(null, "Bob"));
    assert.equal(presence.members.find((one) => one.self).id, id, "an id is a hub's for its life");
    assert.equal(a.other.presence.members.length, 0);
    await a.dispose();
    await until(() => book.is("Bob"));
    assert.equal(book.left, 2);
    book.stop();
    b.crowd.presence.leave();
    await until(() => looking.crowd.presence.members.length === 0);
    assert.ok(!book.news.some((one) => one.startsWith("left \"Bob\"")), "who has ended it is not called back");
  }));

/** Starts the Go program of examples/go-presence: a hub in the scope «room». */
async function startGo() {
  const folder = mkdtempSync(join(tmpdir(), "kinopio-presence-"));
  const program = join(folder, process.platform === "win32" ? "member.exe" : "member");
  execFileSync("go", ["build", "-o", program, "../examples/go-presence"], { cwd: root, stdio: "inherit" });
  const child = spawn(program, [server.tcp], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  const here = new Map(); // what it says, by id
  createInterface({ input: child.stdout }).on("line", (line) => {
    const [, kind, id, data] = /^(\w+) (\w+) (.*)$/.exec(line);
    assert.equal(here.has(id), kind !== "joined", line);
    if (kind === "left") here.delete(id);
    else here.set(id, JSON.parse(data));
  });
  const stop = async () => {
    child.stdin.end();
    await ended;
    rmSync(folder, { recursive: true, force: true });
  };
  return { here, is: (data) => child.stdin.write(`${data}\n`), stop };
}

test("hubs in Go and in JavaScript see each other", { timeout: 120_000 }, () =>
  withHubs(2, async (hub, late) => {
    const go = await startGo();
    try {
      const book = follow(hub.room.presence);
      go.is('{"in":"Go"}');
      await until(() => book.is({ in: "Go" }));
      hub.room.presence.join({ in: "JavaScript" });
      await until(() => go.here.size === 2);
      assert.deepEqual(Object.fromEntries(go.here), Object.fromEntries(book.here), "ids and data");
      assert.deepEqual((await late.room.presence.ready()).map(({ id }) => id), [...go.here.keys()].sort());
      go.is("é 😀");
      await until(() => book.is("é 😀", { in: "JavaScript" }));
      hub.room.presence.update("changed");
      await until(() => [...go.here.values()].includes("changed"));
      go.is("");
      await until(() => book.is("changed"));
      go.is("again");
      await until(() => book.is("changed", "again"));
      hub.room.presence.leave();
      await until(() => go.here.size === 1);
      await go.stop(); // its hub is closed, and so leaves
      await until(() => book.is());
    } finally {
      await go.stop();
    }
  }));

test("who reconnects or moves stays, and who is killed leaves within 15 s", { timeout: 120_000 }, async (t) => {
  const watching = new KinopioHub({ servers: [server.twin] });
  const moves = new KinopioHub({ servers: [server.ws, server.twin], serverSelectionMode: "ordered", reconnectTimeWait: 50 });
  const script = `import KinopioHub from ${JSON.stringify(dist("index.mjs").href)};
    const hub = new KinopioHub({ servers: [${JSON.stringify(server.twin)}] });
    hub.life.presence.join("dies");
    hub.life.presence.onChange(({ kind, member }) => console.log(kind, member.data));`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
  const planned = [];
  moves.onMove((move) => move.planned && !move.error && planned.push(move));
  try {
    const book = follow(watching.life.presence);
    moves.life.presence.join("moves");
    const mine = follow(moves.life.presence);
    await until(() => book.is("moves", "dies") && mine.is("moves", "dies"));
    await moves.reconnect();
    const { reconnects } = moves.status;
    planned.length = 0;
    await server.tell("stop");
    await until(() => moves.status.reconnects > reconnects && moves.state === "connected");
    await server.tell("start");
    await until(() => planned.length > 0 && moves.status.server.startsWith(server.ws), "the planned move back");
    const { reconnects: before } = moves.status;
    await server.tell("kick");
    await until(() => moves.status.reconnects > before && moves.state === "connected");
    moves.life.presence.update("moved");
    await until(() => book.is("moved", "dies") && mine.is("moved", "dies"));
    assert.equal(book.left + mine.left, 0, "nobody has been seen to leave");
    const start = performance.now();
    child.kill("SIGKILL");
    const deadline = start + 40_000; // 15 s, on a machine that has time
    while (!(book.is("moved") && mine.is("moved")) && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20));
    t.diagnostic(`seen to leave after ${((performance.now() - start) / 1000).toFixed(1)} s`);
    assert.ok(book.is("moved") && mine.is("moved"), JSON.stringify([...book.here]));
    assert.deepEqual([book.left, mine.left], [1, 1]);
  } finally {
    child.kill("SIGKILL");
    await Promise.all([watching.dispose(), moves.dispose()]);
  }
});

test("bad input is told at once, and nothing is joined", () =>
  withHubs(2, async (hub, other) => {
    const { presence } = hub.bad;
    const fails = (what, code, words) => assert.throws(what, (error) => error.code === code && words.test(error.message), words);
    fails(() => presence.update(1), "INVALID_CONFIG", /update bad: this hub has not joined/);
    fails(() => presence.join("x".repeat(1025)), "INVALID_VALUE", /join bad: 1025 bytes of data: want at most 1024/);
    fails(() => presence.join("é".repeat(513)), "INVALID_VALUE", /1026 bytes/);
    fails(() => presence.join(() => {}), "INVALID_VALUE", /function/);
    fails(() => presence.onChange(7), "INVALID_CONFIG", /want a function, not number/);
    fails(() => hub.getScope("*").presence.join(1), "INVALID_NAME", /wildcard/);
    await rejects(hub.getScope("*").presence.ready(), "INVALID_NAME");
    await rejects(presence.ready(-1), "INVALID_CONFIG");
    assert.deepEqual(hub.getScope("*").presence.members, []);
    fails(() => (hub.bad.presence = 1), "INVALID_NAME", /cannot assign to bad\.presence: .*bad\.getVariable\("presence"\)/);
    presence.join("x".repeat(1024));
    await until(async () => (await other.bad.presence.ready()).length === 1);
    await other.bad.getVariable("presence").set("a variable of that name");
    assert.equal(await hub.bad.getVariable("presence").ready(), "a variable of that name");
    await hub.dispose();
    for (const what of ["join", "update", "onChange"]) fails(() => presence[what](() => {}), "DISPOSED", /./);
    await rejects(presence.ready(), "DISPOSED");
    presence.leave();
    assert.ok(Array.isArray(presence.members));
  }));

test("a presence without a connection begins when there is one", async () => {
  const away = new KinopioHub({ servers: [server.ws], autoConnect: false });
  await withHubs(1, async (hub) => {
    const book = follow(hub.away.presence);
    away.away.presence.join(1);
    away.away.presence.update(2);
    await rejects(away.away.presence.ready(50), "TIMEOUT");
    await away.connect();
    await until(() => book.is(2));
    assert.deepEqual((await away.away.presence.ready()).map((one) => one.data), [2]);
  });
  await away.dispose();
});

test("methods may be taken off, a callback that throws is reported, and nothing is left of who has gone", () =>
  withHubs(2, async (hub, other) => {
    const errors = [];
    hub.onError((error) => errors.push(error));
    const { join, leave, onChange, ready } = hub.taken.presence;
    const stop = onChange(() => {
      throw new Error("no");
    });
    join("taken");
    await ready();
    await until(() => errors.length > 0);
    assert.equal(errors[0].code, "CALLBACK_FAILED");
    assert.match(errors[0].message, /presence in taken threw: no/);
    assert.deepEqual(JSON.parse(JSON.stringify(hub.taken.presence)).map(({ data }) => data), ["taken"]);
    assert.match(inspect(hub.taken.presence), /^Presence \{[^]*scope: 'taken'/);
    stop();
    leave();
    assert.deepEqual(await other.taken.presence.ready(), []);
  }));

test("what the server does not permit is told once, and the rest goes on", async () => {
  const strict = await startServer("--deny", "_KH.>");
  const hub = new KinopioHub({ servers: [strict.ws] });
  const errors = [];
  hub.onError((error) => errors.push(error));
  try {
    hub.room.presence.join("me");
    assert.deepEqual((await hub.room.presence.ready(20_000)).map(({ data }) => data), ["me"]);
    await until(() => errors.length > 0);
    hub.room.presence.update("still me");
    await hub.flush();
    const heard = collector();
    await hub.room.door.sub(heard.push);
    await hub.room.door.pub("open");
    await until(() => heard.items.length === 1);
    assert.deepEqual(errors.map(({ code }) => code), ["PERMISSION_DENIED"]);
    assert.match(errors[0].message, /_KH\.here\.room, _KH\.roll\.room, _KH\.who\.room.*docs\/permissions\.md/);
  } finally {
    await hub.dispose();
    await strict.stop();
  }
});

test("a page that goes leaves at once, and is a member again when it comes back", async () => {
  const page = new EventTarget();
  const { addEventListener, removeEventListener } = globalThis;
  globalThis.document = {};
  globalThis.addEventListener = page.addEventListener.bind(page);
  globalThis.removeEventListener = page.removeEventListener.bind(page);
  try {
    await withHubs(2, async (hub, other) => {
      const book = follow(other.page.presence);
      hub.page.presence.join("here");
      await until(() => book.is("here"));
      page.dispatchEvent(new Event("pagehide"));
      await until(() => book.is());
      hub.page.presence.update("later");
      page.dispatchEvent(new Event("pageshow"));
      await until(() => book.is("later"));
      page.dispatchEvent(new Event("pagehide"));
      await until(() => book.is());
      hub.page.presence.leave();
      page.dispatchEvent(new Event("pageshow"));
      await other.flush();
      assert.ok(book.is());
    });
  } finally {
    delete globalThis.document;
    Object.assign(globalThis, { addEventListener, removeEventListener });
  }
});
