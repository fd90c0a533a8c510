import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { after, test } from "node:test";
import { dist, root, until } from "./helpers.mjs";

process.env.KINOPIO_SKIP_CA_TRUST_INSTALL = "1";
const folder = mkdtempSync(join(tmpdir(), "kinopio-cli-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const cli = fileURLToPath(dist("cli.mjs"));

/** Runs the command to its end: {code, stdout, stderr}. */
function call(program, args, env = {}) {
  return new Promise((resolve) => {
    execFile(process.execPath, [program, ...args], { env: { ...process.env, ...env }, timeout: 30_000 }, (error, stdout, stderr) => resolve({ code: error ? error.code : 0, stdout, stderr }));
  });
}

/** Starts a leaf through the command, and waits until it serves: {child, monitor, line, ended}. */
async function leaf(...more) {
  const flags = ["--discovery-namespace", "cli", "--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--cache-dir", folder, "--json-lines", ...more];
  const child = spawn(process.execPath, [cli, "leaf", "start", ...flags], { stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", (code, signal) => resolve({ code, signal })));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  for (;;) {
    const { value, done } = await lines.next();
    if (done) throw new Error("the leaf has ended");
    const status = JSON.parse(value);
    if (status.phase === "running") return { child, monitor: `${status.monitorUrl}/healthz`, ended };
  }
}

const gone = (url) => fetch(url).then(() => false, () => true);

test("the command is the native program: its output, its exit codes", async () => {
  const version = await call(cli, ["version"]);
  assert.equal(version.code, 0);
  assert.match(version.stdout, /^kinopio-hub .*nats-server/);
  const wrong = await call(cli, ["leaf", "start"]);
  assert.equal(wrong.code, 2);
  assert.match(wrong.stderr, /^error: --discovery-namespace is missing\nhint: /);
  assert.equal((await call(cli, ["leaf", "start", "--help"])).code, 0);
});

test("signals end the leaf cleanly, and the command with it", async () => {
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) {
    const { child, monitor, ended } = await leaf();
    assert.equal((await fetch(monitor)).status, 200);
    child.kill(signal);
    assert.deepEqual(await ended, { code: 0, signal: null }, signal);
    assert.ok(await gone(monitor), `${signal}: the leaf has ended`);
  }
});

test("the leaf ends when the command is killed", async () => {
  const { child, monitor } = await leaf();
  child.kill("SIGKILL");
  await until(() => gone(monitor), "the leaf has ended");
});

test("a missing platform package says what to run", async () => {
  const home = join(folder, "app/node_modules/kinopio-hub");
  mkdirSync(home, { recursive: true });
  cpSync(cli, join(home, "dist/cli.mjs"));
  cpSync(join(root, "package.json"), join(home, "package.json"));
  const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const missing = await call(join(home, "dist/cli.mjs"), ["version"], { KINOPIO_HUB_BINARY: "" });
  assert.equal(missing.code, 1);
  assert.match(missing.stderr, /^error: run kinopio-hub: the package @kinopio-hub\//);
  assert.ok(missing.stderr.includes(`npm install @kinopio-hub/${process.platform}-${process.arch}@${version}`), missing.stderr);
  const wrong = await call(cli, ["version"], { KINOPIO_HUB_BINARY: "/nowhere/kinopio-hub" });
  assert.match(wrong.stderr, /^error: run kinopio-hub: \/nowhere\/kinopio-hub cannot be run \(from KINOPIO_HUB_BINARY\)/);
});
