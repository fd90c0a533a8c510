import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { enableAutoLeaf } from "../dist/leaf.mjs";
import { rejects, root, until } from "./helpers.mjs";

process.env.KINOPIO_SKIP_CA_TRUST_INSTALL = "1";
const folder = mkdtempSync(join(tmpdir(), "kinopio-autoleaf-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A program that stands for the native one. */
function program(name, code) {
  const path = join(folder, name);
  writeFileSync(path, `#!${process.execPath}\n${code}`);
  chmodSync(path, 0o755);
  return path;
}

/** Runs a module on a network of its own, which has loopback only, and gives its lines: {child, line(), ended}. */
function onOwnNetwork(code) {
  const child = spawn("unshare", ["-n", "sh", "-c", `ip link set lo up && exec "$@"`, "sh", process.execPath, "--input-type=module", "-e", code], {
    cwd: root, stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, ended, line: async () => (await lines.next()).value };
}

const begin = (node, more = "") => `
  import { enableAutoLeaf } from "./dist/leaf.mjs";
  const wait = async (node, state) => { while (node.state() !== state) await new Promise((next) => setTimeout(next, 20)); };
  const options = (nodeId) => ({ discoveryNamespace: "test", nodeId, cacheDir: ${JSON.stringify(folder)} + "/" + nodeId, lanBindAddress: "127.0.0.1", advertisedHostname: "127.0.0.1", webSocketTls: false, leaderMissingGraceMs: 200 });
  const ${node} = await enableAutoLeaf(options(${JSON.stringify(node)}));
  await wait(${node}, "leader");
  ${more}`;

test("one node leads, another follows and takes over", { timeout: 60_000 }, async () => {
  const run = onOwnNetwork(begin("first", `
    const seen = [{ state: first.state(), role: first.role(), leader: first.currentLeader().nodeId, status: first.status() }];
    const second = await enableAutoLeaf(options("second"));
    await wait(second, "following-leader");
    seen.push({ state: second.state(), role: second.role(), leader: second.currentLeader().nodeId, url: second.currentLeader().websocketUrl, status: second.status() });
    let manifest = ""; // until enough is known of the leader
    while (!manifest) {
      manifest = await (await fetch(second.status().manifestUrl)).text();
      if (!manifest) await new Promise((next) => setTimeout(next, 20));
    }
    seen.push(JSON.parse(manifest));
    await first.stop();
    seen.push({ state: first.state(), role: first.role(), leader: first.currentLeader() });
    await wait(second, "leader");
    seen.push({ epoch: second.status().leaderEpoch });
    await second.stop();
    await second.stop();
    console.log(JSON.stringify(seen));`));
  const [one, two, manifest, stopped, last] = JSON.parse(await run.line());
  assert.deepEqual([one.state, one.role, one.leader], ["leader", "leader", "first"]);
  assert.equal(one.status.leaderMissingGraceMs, 200);
  assert.equal(one.status.localLeaf.nodeId, "first");
  assert.deepEqual([two.state, two.role, two.leader], ["following-leader", "follower", "first"]);
  assert.match(two.url, /^ws:\/\/127\.0\.0\.1:\d+/);
  assert.equal(two.status.localLeaf, null);
  assert.equal(manifest.nodeId, "first");
  assert.deepEqual(stopped, { state: "stopped", role: "stopped", leader: null });
  assert.equal(last.epoch, 2);
  assert.deepEqual(await run.ended, { code: 0, signal: null });
});

test("a node ends with its parent, even when that is killed", { timeout: 60_000 }, async () => {
  const run = onOwnNetwork(begin("lone", `
    import { execFileSync } from "node:child_process";
    console.log(execFileSync("ps", ["--ppid", String(process.pid), "-o", "pid=,args="], { encoding: "utf8" }).split("\\n").find((line) => line.includes("leaf auto")));
    setInterval(() => {}, 1000);`));
  const pid = Number.parseInt(await run.line(), 10);
  assert.ok(pid > 0);
  const alive = () => { try { process.kill(pid, 0); return true; } catch { return false; } };
  assert.ok(alive());
  run.child.kill("SIGKILL");
  await until(() => !alive(), "the program has ended");
});

const options = { discoveryNamespace: "test" };

test("options are checked, and reach the program; the secret is not in the command line", async () => {
  for (const [wrong, want] of [
    [{}, /discoveryNamespace/],
    [{ ...options, leaderMissingGraceMs: 0 }, /leaderMissingGraceMs = 0: want milliseconds from 1/],
    [{ ...options, leaderMissingGracems: 5 }, /unknown option leaderMissingGracems: did you mean leaderMissingGraceMs/],
    [{ ...options, fastFailover: "yes" }, /fastFailover = "yes"/],
    [{ ...options, namespaceSecret: "short" }, /namespaceSecret \(not shown\): want a string of at least 16 bytes/],
  ]) {
    assert.match((await rejects(enableAutoLeaf(wrong), "INVALID_CONFIG")).message, want);
  }
  const binary = program("echo", `
    console.log("hello");
    console.log(JSON.stringify({ state: "discovering", role: "candidate", leader: null, args: process.argv.slice(2), secret: process.env.KINOPIO_NAMESPACE_SECRET }));
    process.stdin.resume().on("end", () => process.exit());`);
  const node = await enableAutoLeaf({ ...options, binary, leaderMissingGraceMs: 1500, fastFailover: true, warmStandby: false, namespaceSecret: "a secret that is long enough", ports: { discovery: 4321 }, backboneServers: ["nats://b:7422"] });
  assert.deepEqual(node.status().args, [
    "leaf", "auto", "--discovery-namespace=test", "--backbone-server=nats://b:7422", "--discovery-port=4321",
    "--leader-missing-grace-ms=1500", "--fast-failover", "--json-lines", "--parent-pipe",
  ]);
  assert.equal(node.status().secret, "a secret that is long enough");
  assert.deepEqual([node.state(), node.role(), node.currentLeader()], ["discovering", "candidate", null]);
  await node.stop();
  assert.equal(node.state(), "stopped");
});

test("a program that ends says why in its last words: before it took part, and after", async () => {
  const fails = program("fails", `console.error("error: port 7 is taken\\nhint: choose another"); process.exit(1);`);
  assert.equal((await rejects(enableAutoLeaf({ ...options, binary: fails }), "LEAF_FAILED")).message, "enable auto leaf: port 7 is taken\nhint: choose another");
  const dies = program("dies", `
    console.log(JSON.stringify({ state: "leader", role: "leader", leader: { nodeId: "x" } }));
    setTimeout(() => { console.error("error: the disk is full"); process.exit(1); }, 100);`);
  const node = await enableAutoLeaf({ ...options, binary: dies });
  await until(() => node.state() === "stopped");
  assert.equal(node.status().lastError, "enable auto leaf: the disk is full");
  assert.equal(node.currentLeader(), null);
  await node.stop();
});
