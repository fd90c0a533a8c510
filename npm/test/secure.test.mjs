import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { createServer as createTLSServer } from "node:tls";
import { pathToFileURL } from "node:url";
import { dist, root, startServer } from "./helpers.mjs";

// What docs/node.md says of certificates and proxies, in a process each, as environment variables need.

const folder = mkdtempSync(join(tmpdir(), "kinopio-secure-"));
const file = (name) => join(folder, name);
const tunnels = []; // what the proxy was asked for
let nats;
let secure;
let proxy;

const couple = (a, b) => {
  a.pipe(b).pipe(a);
  a.on("error", () => b.destroy());
  b.on("error", () => a.destroy());
};
const listen = (server) => new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));

before(async () => {
  const make = (name, subject, ...more) =>
    execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
      "-subj", `/CN=${subject}`, "-keyout", file(`${name}.key`), "-out", file(`${name}.pem`), ...more], { stdio: "pipe" });
  make("ca", "kinopio tests");
  make("leaf", "server", "-CA", file("ca.pem"), "-CAkey", file("ca.key"), "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE");
  nats = await startServer();
  secure = createTLSServer({ key: readFileSync(file("leaf.key")), cert: readFileSync(file("leaf.pem")) }, (socket) => couple(socket, connect(Number(new URL(nats.ws).port), "127.0.0.1")));
  secure.url = `wss://localhost:${await listen(secure)}`;
  proxy = createServer().on("connect", (request, socket) => {
    tunnels.push(request.url);
    const [host, port] = request.url.split(":");
    const target = connect(port, host, () => socket.write("HTTP/1.1 200 OK\r\n\r\n"));
    couple(socket, target);
  });
  proxy.url = `http://127.0.0.1:${await listen(proxy)}`;
});
after(async () => {
  secure.close();
  proxy.close();
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** What a program says that connects to a server, after some lines of its own. */
function says(server, { env = {}, lines = "" }) {
  writeFileSync(file("main.mjs"), `
    import KinopioHub from ${JSON.stringify(dist("index.mjs").href)};
    ${lines}
    const hub = new KinopioHub({ servers: [${JSON.stringify(server)}], waitOnFirstConnect: false${lines && ", WebSocket"} });
    try { await hub.connected(); console.log("connected"); }
    catch (error) { console.log(error.code, error.message); }
    await hub.dispose();`);
  const clean = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/_proxy$|^NODE_/i.test(name)));
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [file("main.mjs")], { env: { ...clean, ...env }, timeout: 30_000 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}\n${stderr}`)) : resolve(stdout.trim()));
  });
}

/** The class of docs/node.md for this runtime, with its packages from where they lie here. */
function documented() {
  const [first, second] = [...readFileSync(join(root, "../docs/node.md"), "utf8").matchAll(/```js\n([^]*?)```/g)].map(([, text]) => text);
  const ca = `import { readFileSync } from "node:fs";\nconst ca = readFileSync(${JSON.stringify(file("ca.pem"))});\n`;
  if (process.versions.bun) return ca + second;
  const at = (path) => JSON.stringify(pathToFileURL(join(root, path)).href);
  return ca + first
    .replace(/^const (ca|hub) = .*$/gm, "")
    .replace('"https-proxy-agent"', at("tools/node_modules/https-proxy-agent/dist/index.js"))
    .replace('"ws"', at("node_modules/ws/wrapper.mjs"));
}

test("a root certificate of one's own is trusted by NODE_EXTRA_CA_CERTS, and not without", async () => {
  assert.match(await says(secure.url, {}), /^CONNECT_FAILED /);
  assert.equal(await says(secure.url, { env: { NODE_EXTRA_CA_CERTS: file("ca.pem") } }), "connected");
});

test("the WebSocket class of the documentation has a certificate and goes through a proxy", async () => {
  for (const server of [secure.url, nats.ws]) {
    tunnels.length = 0;
    assert.equal(await says(server, { lines: documented(), env: { HTTPS_PROXY: proxy.url } }), "connected");
    assert.deepEqual(tunnels, [new URL(server).host]);
  }
});

if (!process.versions.bun && Number(process.versions.node.split(".")[0]) >= 22) {
  test("NODE_USE_ENV_PROXY goes through the proxy", async () => {
    for (const server of [secure.url, nats.ws]) {
      tunnels.length = 0;
      const env = { NODE_EXTRA_CA_CERTS: file("ca.pem"), NODE_USE_ENV_PROXY: "1", HTTP_PROXY: proxy.url, HTTPS_PROXY: proxy.url };
      assert.equal(await says(server, { env }), "connected");
      assert.deepEqual(tunnels, [new URL(server).host]);
    }
  });
}
