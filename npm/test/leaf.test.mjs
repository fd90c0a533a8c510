import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { connect } from "@nats-io/transport-node";
import { KinopioHub } from "../dist/index.mjs";
import { startLeafNode } from "../dist/leaf.mjs";
import { rejects, root, until } from "./helpers.mjs";

process.env.KINOPIO_SKIP_CA_TRUST_INSTALL = "1";
const folder = mkdtempSync(join(tmpdir(), "kinopio-leaf-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A program that stands for the native one. */
function program(name, code) {
  const path = join(folder, name);
  writeFileSync(path, `#!${process.execPath}\n${code}`);
  chmodSync(path, 0o755);
  return path;
}

const options = { discoveryNamespace: "test", lanBindAddress: "127.0.0.1", advertisedHostname: "127.0.0.1", cacheDir: folder };

test("a real leaf serves browsers and NATS clients, and stops", async () => {
  const leaf = await startLeafNode({ ...options, webSocketTls: false });
  assert.match(leaf.websocketUrl, /^ws:\/\/127\.0\.0\.1:\d+/);
  assert.equal(leaf.wssUrl, leaf.websocketUrl);
  assert.match(leaf.discoveryUrl, /^http:\/\/127\.0\.0\.1:\d+\/\.well-known\/kinopio-leader\.json$/);
  assert.equal(leaf.advertisedHostname, "127.0.0.1");
  assert.match(leaf.monitorUrl, /^http:\/\//);
  assert.equal(leaf.status().phase, "running");
  const hub = new KinopioHub({ servers: [leaf.websocketUrl] });
  const nats = await connect({ servers: leaf.clientUrl });
  await hub.leaf.f.serve((x) => x + 1);
  assert.equal((await nats.request("leaf.f", "1")).string(), "2");
  await nats.close();
  await hub.dispose();
  await leaf.stop();
  await leaf.stop();
  assert.equal(leaf.status().phase, "stopped");
  await assert.rejects(fetch(leaf.discoveryUrl));
});

test("a leaf that cannot start says why, in the program's own words", async () => {
  await rejects(startLeafNode({}), "INVALID_CONFIG");
  const words = await rejects(startLeafNode({ ...options, binary: program("fails", `console.error("error: port 7 is taken\\nhint: choose another"); process.exit(1);`) }), "LEAF_FAILED");
  assert.equal(words.message, "start leaf: port 7 is taken\nhint: choose another");
  const silent = await rejects(startLeafNode({ ...options, binary: program("silent", "process.exit(3);") }), "LEAF_FAILED");
  assert.match(silent.message, /exit code 3/);
  const missing = await rejects(startLeafNode({ ...options, binary: join(folder, "none") }), "LEAF_FAILED");
  assert.match(missing.message, /none cannot be run \(from the option binary\)/);
});

test("lines that are not ours, and changes, are taken as they come", async () => {
  const binary = program("chatty", `
    console.log("hello");
    console.log(JSON.stringify({ phase: "starting", websocketUrl: "" }));
    const running = { phase: "running", websocketUrl: "ws://x", args: process.argv.slice(2) };
    console.log(JSON.stringify(running));
    setTimeout(() => console.log(JSON.stringify({ ...running, bridgeState: "connected" })), 50);
    process.stdin.resume().on("end", () => process.exit());`);
  const leaf = await startLeafNode({ ...options, binary });
  assert.deepEqual(leaf.status().args.slice(0, 2), ["leaf", "start"]);
  assert.deepEqual(leaf.status().args.slice(-2), ["--json-lines", "--parent-pipe"]);
  await until(() => leaf.status().bridgeState === "connected");
  await leaf.stop();
});

test("the leaf ends when its parent is killed", async () => {
  const parent = spawn(process.execPath, ["--input-type=module", "-e", `
    import { startLeafNode } from "./dist/leaf.mjs";
    const leaf = await startLeafNode(${JSON.stringify({ ...options, webSocketTls: false })});
    console.log(leaf.monitorUrl);
    setInterval(() => {}, 1000);`], { cwd: root, stdio: ["ignore", "pipe", "inherit"] });
  const lines = createInterface({ input: parent.stdout })[Symbol.asyncIterator]();
  const monitor = (await lines.next()).value;
  assert.equal((await fetch(`${monitor}/healthz`)).status, 200);
  parent.kill("SIGKILL");
  await until(() => fetch(`${monitor}/healthz`).then(() => false, () => true), "the leaf has ended");
});
