import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { root, startServer } from "./helpers.mjs";

// The examples, as a user has them: in a folder with the package in its node_modules.

const folder = mkdtempSync(join(tmpdir(), "kinopio-examples-"));
const examples = join(root, "../examples");
let server;
before(async () => {
  cpSync(join(examples, "node"), folder, { recursive: true });
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/kinopio-hub"), "junction");
  server = await startServer();
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a program to its end and gives the lines that it printed. */
function run(program, args) {
  const env = { ...process.env, KINOPIO_SERVERS: server.ws, KINOPIO_SKIP_CA_TRUST_INSTALL: "1", KINOPIO_LEAF_CACHE_DIR: join(folder, "cache") };
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd: folder, env, timeout: 60_000 }, (error, stdout, stderr) => {
      if (error) reject(new Error(`${error.message}\n${stdout}${stderr}`));
      else resolve(stdout.trimEnd().split("\n"));
    });
  });
}

// Whatever is rejected and nobody hears of ends it.
const strict = "--unhandled-rejections=strict";
const own = (script) => run(process.execPath, [strict, script]);
/** On a network of its own, with an interface that looks like a LAN's. */
const onOwnLan = (script) =>
  run("unshare", ["-n", "sh", "-c", `ip link set lo up && ip link add lan0 type veth peer name lan1 && ip addr add 192.168.77.2/24 dev lan0 && ip link set lan1 up && ip link set lan0 up && exec "$@"`, "sh", process.execPath, strict, script]);

const want = {
  "quick-start.mjs": { by: own, says: ["state connected", "heard { level: 87 }", "value { level: 87 }"] },
  "scopes.mjs": { by: own, says: ["same variable true", "nested robot.arm.angle", "robot.battery 87", "robot.speed 1.5"] },
  "request-reply.mjs": { by: own, says: ["answer 42", "nobody there NO_RESPONDERS", "too slow TIMEOUT"] },
  "service.mjs": { by: own, says: ["first { value: 1 }", "second { value: 2 }", "SERVICE_ERROR there is no action explode"] },
  "connection.mjs": { by: own, says: ["at first disconnected", "state connecting", "state connected", "server true", "battery 87", "in the end DISPOSED"] },
  "codec.mjs": { by: own, says: ["a date 1970-01-01T00:00:00.000Z", "a number 3.5"] },
  "server-selection.mjs": { by: own, says: ["ordered", "random", "latency"].map((mode) => `${mode} came to a live server true`) },
  "leaf.mjs": { by: onOwnLan, says: ["phase running", "manifest studio", "answer 42", "phase stopped"] },
  "auto-leaf.mjs": { by: onOwnLan, says: ["role leader", "leader known true", "state stopped"] },
};

test("every example is run", () => {
  assert.deepEqual(readdirSync(join(examples, "node")).sort(), Object.keys(want).sort());
});

for (const [script, { by, says }] of Object.entries(want)) {
  test(`the example ${script} says what it shows, and ends`, { timeout: 70_000 }, async () => {
    const lines = await by(script);
    assert.deepEqual(lines.filter((line) => says.includes(line)), says, lines.join("\n"));
  });
}

test("a rejection that nobody hears of would end an example", async () => {
  writeFileSync(join(folder, "rejects.mjs"), "process.on('unhandledRejection', () => {}); Promise.reject(new Error('nobody hears')); setTimeout(() => console.log('goes on'), 50);");
  await assert.rejects(own("rejects.mjs"), /nobody hears/);
});

test("the example in Go says what it shows, and ends", { timeout: 180_000 }, async () => {
  const program = join(folder, "go-example");
  await new Promise((resolve, reject) => execFile("go", ["build", "-o", program, "./examples/go"], { cwd: join(root, "..") }, (error) => (error ? reject(error) : resolve())));
  assert.deepEqual(await run(program, [server.tcp]), ["answer 42", "battery 87"]);
});
