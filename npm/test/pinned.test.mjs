import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createServer as createTLSServer } from "node:tls";
import { dist, startServer } from "./helpers.mjs";

// A manifest says which root the leaf's certificate comes from: that one counts, installed or not, and no other.

const { default: KinopioHub } = await import(dist("index.mjs").href);
const folder = mkdtempSync(join(tmpdir(), "kinopio-pinned-"));
const file = (name) => join(folder, name);
const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
let nats;
let leaf;
let manifests;
const heard = { connections: 0, bytes: 0 }; // inside of TLS
let manifest = {};

before(async () => {
  const make = (name, subject, ...more) =>
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", `/CN=${subject}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.pem`), ...more], { stdio: "pipe" });
  make("ca", "a leaf's root");
  make("other", "another root");
  make("leaf", "leaf", "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE");
  nats = await startServer();
  leaf = createTLSServer({ key: readFileSync(file("leaf.key")), cert: readFileSync(file("leaf.pem")) }, (socket) => {
    const inside = connect(Number(new URL(nats.ws).port), "127.0.0.1");
    socket.on("data", (data) => (heard.bytes += data.length));
    socket.on("error", () => inside.destroy());
    inside.on("error", () => socket.destroy());
    socket.pipe(inside).pipe(socket);
  });
  leaf.on("connection", () => heard.connections++);
  leaf.on("tlsClientError", () => {});
  leaf.url = `wss://127.0.0.1:${await listen(leaf)}`;
  manifests = createServer((_, response) => {
    response.setHeader("Content-Type", "application/json");
    response.end(JSON.stringify({
      version: "1", expiresAt: new Date(Date.now() + 60_000).toISOString(), wssUrl: leaf.url, websocketUrl: leaf.url,
      isLeader: true, bridgeState: "connected", fallbackServers: ["nats-leaf://backbone"], ...manifest,
    }));
  });
  manifests.url = `http://127.0.0.1:${await listen(manifests)}/.well-known/kinopio-leader.json`;
});
after(async () => {
  leaf.close();
  manifests.close();
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What the search comes to with a manifest. */
async function search(fields, until) {
  manifest = fields;
  heard.connections = heard.bytes = 0;
  const hub = new KinopioHub({ servers: [nats.ws], token: "not for leaves", discovery: { enabled: true, manifestUrl: manifests.url, cacheTtlMs: 100 } });
  try {
    await hub.connected();
    const end = Date.now() + 20_000;
    while (!until.includes(hub.discoveryStatus.state)) {
      assert.ok(Date.now() < end, `instead: ${JSON.stringify(hub.discoveryStatus)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { ...hub.discoveryStatus, via: hub.status.via };
  } finally {
    await hub.dispose();
  }
}

test("the root in the manifest is enough to come to the leaf", async () => {
  const found = await search({ rootPem: readFileSync(file("ca.pem"), "utf8") }, ["local"]);
  assert.equal(found.via, "leaf");
  assert.ok(heard.bytes > 0);
});

for (const [what, rootPem] of [["another root", () => readFileSync(file("other.pem"), "utf8")], ["no root", () => undefined], ["a root that is none", () => "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]]) {
  test(`${what}: the leaf hears not a byte`, async () => {
    const found = await search({ rootPem: rootPem() }, ["untrusted-or-unreachable"]);
    assert.equal(found.via, "configured");
    assert.equal(heard.bytes, 0);
    if (what !== "a root that is none") assert.ok(heard.connections > 0, "nothing was tried: this test shows nothing");
  });
}
