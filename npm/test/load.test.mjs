import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { dist, root, startServer } from "./helpers.mjs";

const run = promisify(execFile);
const wasm = readFileSync(dist("kinopio-hub.wasm"));

let nats;
let web;
let origin;
let nowhere; // nobody listens there
before(async () => {
  nats = await startServer();
  web = createServer((request, response) => {
    const kinds = {
      "/good.wasm": [200, "application/wasm", wasm],
      "/octets.wasm": [200, "application/octet-stream", wasm],
      "/html.wasm": [200, "text/html; charset=utf-8", "<!doctype html><title>App</title>"],
      "/cut.wasm": [200, "application/wasm", wasm.subarray(0, 5000)],
      "/other.wasm": [200, "application/wasm", new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])],
    };
    const [status, type, body] = kinds[request.url] ?? [404, "text/plain", "no"];
    response.writeHead(status, { "content-type": type }).end(body);
  });
  await new Promise((resolve) => web.listen(0, "127.0.0.1", resolve));
  origin = `http://127.0.0.1:${web.address().port}`;
  const closed = createServer();
  await new Promise((resolve) => closed.listen(0, "127.0.0.1", resolve));
  nowhere = `http://127.0.0.1:${closed.address().port}`;
  await new Promise((resolve) => closed.close(resolve));
});
after(async () => {
  web.close();
  await nats.stop();
});

/** Runs a module in a process of its own, because a page has one instance of the module. */
async function inProcess(code, timeout = 30_000) {
  const { stdout, stderr } = await run(process.execPath, ["--input-type=module", "-e", code], { cwd: root, timeout });
  return { stdout: stdout.trim(), stderr };
}

const connect = (options) => `
  import KinopioHub from "./dist/index.mjs";
  import { readFileSync } from "node:fs";
  const hub = new KinopioHub({ servers: ["${nats.ws}"], ${options} });
  const errors = [];
  hub.onError((error) => errors.push(error.code));
  try { await hub.connected(); console.log("connected"); }
  catch (error) { console.log(error.code, hub.state, errors.join(), error.message); }
  await hub.dispose();`;

test("the module loads from disk, from a URL with either type, from bytes and compiled", async () => {
  for (const options of [
    "",
    `wasmUrl: "${origin}/good.wasm"`,
    `wasmUrl: new URL("${origin}/octets.wasm")`,
    `wasmUrl: "./dist/kinopio-hub.wasm"`,
    `wasmModule: readFileSync("dist/kinopio-hub.wasm")`,
    `wasmModule: await WebAssembly.compile(readFileSync("dist/kinopio-hub.wasm"))`,
    `wasmModule: WebAssembly.compileStreaming(fetch("${origin}/good.wasm"))`,
  ]) {
    assert.equal((await inProcess(connect(options))).stdout, "connected", options);
  }
});

test("a module that cannot be loaded says where, and what was there instead", async () => {
  for (const [url, want] of [
    [`${origin}/none.wasm`, /none\.wasm: status 404, text\/plain/],
    [`${origin}/html.wasm`, /html\.wasm: status 200, text\/html.*begins with "<!doctype html>/],
    [`${origin}/cut.wasm`, /cut\.wasm: status 200, application\/wasm/],
    [`${origin}/other.wasm`, /not the one of this package|kinopio/],
    [`${nowhere}/x.wasm`, /:\d+\/x\.wasm: .*ECONNREFUSED/],
    ["/nowhere/x.wasm", /nowhere\/x\.wasm: ENOENT/],
  ]) {
    const { stdout } = await inProcess(connect(`wasmUrl: "${url}"`));
    assert.match(stdout, /^WASM_LOAD_FAILED error WASM_LOAD_FAILED /);
    assert.match(stdout, want);
  }
});

test("after a failure the next hub tries again", async () => {
  const { stdout } = await inProcess(`
    import KinopioHub from "./dist/index.mjs";
    const bad = new KinopioHub({ servers: ["${nats.ws}"], wasmUrl: "${origin}/none.wasm" });
    await bad.connected().catch((error) => console.log(error.code));
    const good = new KinopioHub({ servers: ["${nats.ws}"] });
    await good.connected();
    console.log(good.state);
    await Promise.all([bad.dispose(), good.dispose()]);`);
  assert.equal(stdout, "WASM_LOAD_FAILED\nconnected");
});

test("importing starts nothing, and adds nothing to the globals", async () => {
  const { stdout } = await inProcess(`
    const before = Object.getOwnPropertyNames(globalThis).sort().join();
    const { default: KinopioHub, debugAlive } = await import("./dist/index.mjs");
    console.log(debugAlive());
    const hub = new KinopioHub({ servers: ["${nats.ws}"] });
    await hub.connected();
    console.log(Object.getOwnPropertyNames(globalThis).sort().join() === before, typeof Go);
    await hub.dispose();`);
  assert.equal(stdout, "undefined\ntrue undefined");
});

test("the process ends by itself when its hubs are disposed, and stays while one is used", async () => {
  const code = (last) => `
    import KinopioHub from "./dist/index.mjs";
    const hub = new KinopioHub({ servers: ["${nats.ws}"], pingInterval: 60000 });
    await hub.a.b.sub(() => {});
    ${last}`;
  await inProcess(code("await hub.dispose(); setTimeout(() => { console.error('kept alive'); process.exit(1); }, 5000).unref();"));
  const { stdout } = await inProcess(code("setTimeout(async () => { console.log('still here'); await hub.dispose(); }, 300).unref();"));
  assert.equal(stdout, "still here");
  await inProcess(`
    import KinopioHub from "./dist/index.mjs";
    const hub = new KinopioHub({ servers: ["ws://127.0.0.1:1"] });
    await hub.dispose();`);
});

test("the <script> build adds one global, with everything on it", async () => {
  const { stdout } = await inProcess(`
    import vm from "node:vm";
    import { readFileSync } from "node:fs";
    import { pathToFileURL } from "node:url";
    globalThis.document = { currentScript: { src: pathToFileURL("dist/kinopio-hub.global.js").href } };
    const before = new Set(Object.getOwnPropertyNames(globalThis));
    vm.runInThisContext(readFileSync("dist/kinopio-hub.global.js", "utf8"), { importModuleDynamically: vm.constants?.USE_MAIN_CONTEXT_DEFAULT_LOADER });
    document.currentScript = null;
    const { WebSocket } = await import("ws");
    const hub = new KinopioHub({ servers: ["${nats.ws}"], WebSocket, wasmModule: readFileSync("dist/kinopio-hub.wasm") });
    await hub.connected();
    console.log(Object.getOwnPropertyNames(globalThis).filter((name) => !before.has(name)).join());
    console.log(KinopioHub.KINOPIO_STATE_EVENT, KinopioHub.KinopioHub === KinopioHub, typeof KinopioHub.KinopioError, KinopioHub.debugAlive().hubs);
    await hub.dispose();`);
  assert.equal(stdout, "KinopioHub\nkinopio.state true function 1");
});

test("the root entry pulls in nothing of Node", () => {
  const text = readFileSync(dist("index.mjs"), "utf8");
  assert.doesNotMatch(text, /child_process|from "node:|require\(/);
});
