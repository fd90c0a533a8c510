import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import KinopioHub from "../dist/index.mjs";
import { root, startServer, until } from "./helpers.mjs";

// A hub in Node finds a real leaf through its session: no manifest URL, no CA, no credentials for the leaf.

const folder = mkdtempSync(join(tmpdir(), "kinopio-session-"));
const binary = join(root, "../bin/kinopio-hub");
const secret = "the secret of these tests";
const env = { ...process.env, KINOPIO_SKIP_CA_TRUST_INSTALL: "1", KINOPIO_NAMESPACE_SECRET: secret };
let backbone;
let leaf;

/** Starts a leaf that has its bridge to the backbone; stop() ends it as Ctrl-C does. */
async function startLeaf(...flags) {
  const child = spawn(binary, ["leaf", "start", "--discovery-namespace", "studio", "--backbone-server", backbone.leaf, "--lan-bind-address", "127.0.0.1",
    "--cache-dir", join(folder, "cache"), "--tickets", "--json-lines", ...flags], { env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = new Promise((resolve) => child.once("close", resolve));
  let status = {};
  createInterface({ input: child.stdout }).on("line", (line) => (status = JSON.parse(line)));
  await until(() => status.bridgeState === "connected", "the leaf has its bridge");
  return { url: status.wssUrl, stop: () => (child.kill("SIGTERM"), ended) };
}

const keyOf = (text) =>
  execFileSync(binary, ["leaf", "key", "--discovery-namespace", "studio"], { env: { ...env, KINOPIO_NAMESPACE_SECRET: text }, encoding: "utf8" }).match(/\bN[A-Z2-7]{55}\b/)[0];

before(async () => {
  backbone = await startServer("--leafnodes");
  leaf = await startLeaf();
});
after(async () => {
  await leaf?.stop();
  await backbone?.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Opens a hub, gives it to `use`, and ends it. */
async function withHub(discovery, use) {
  const hub = new KinopioHub({ servers: [backbone.ws], discovery: { enabled: true, namespace: "studio", ...discovery } });
  try {
    await hub.connected();
    await use(hub);
  } finally {
    await hub.dispose();
  }
}

test("a hub with the namespace's key is on the leaf, by a ticket, and goes back when it ends", { timeout: 90_000 }, async () => {
  await withHub({ namespaceKey: keyOf(secret) }, async (hub) => {
    const moves = [];
    hub.onMove((move) => moves.push(move));
    await until(() => hub.status.via === "leaf", "the hub is on the leaf");
    assert.equal(hub.status.server, leaf.url);
    await until(() => hub.discoveryStatus.state === "local");
    const other = new KinopioHub({ servers: [backbone.ws] });
    try {
      await other.room.square.serve((x) => x * x);
      let answer;
      await until(async () => (answer = await hub.room.square.req(7).catch(() => undefined)) !== undefined, "somebody on the backbone answers");
      assert.equal(answer, 49);
    } finally {
      await other.dispose();
    }
    await leaf.stop();
    await until(() => hub.status.via === "configured", "the hub is back");
    await until(() => moves.some((move) => move.reason === "leaf leaving"), `a planned move: ${JSON.stringify(moves)}`);
    leaf = await startLeaf();
    await until(() => hub.status.via === "leaf" && hub.status.server === leaf.url, "the hub is on the next leaf");
  });
});

test("without a key the leaf is believed", { timeout: 60_000 }, async () => {
  await withHub({}, (hub) => until(() => hub.status.via === "leaf", "the hub is on the leaf"));
});

test("with another key the hub stays where it is, and says why", { timeout: 60_000 }, async () => {
  await withHub({ namespaceKey: keyOf("the secret of somebody else") }, async (hub) => {
    await until(() => /not signed by the key in discovery\.namespaceKey/.test(hub.discoveryStatus.detail), "the reason");
    assert.equal(hub.discoveryStatus.state, "no-leader");
    assert.equal(hub.status.via, "configured");
  });
});

test("of a namespace that nobody answers in, the hub says which others there are", { timeout: 60_000 }, async () => {
  await withHub({ namespace: "studoi" }, async (hub) => {
    await until(() => /no leaf answers in the namespace "studoi"; there are leaves of the namespaces \["studio"\]/.test(hub.discoveryStatus.detail), "the reason");
    assert.equal(hub.status.via, "configured");
  });
});
