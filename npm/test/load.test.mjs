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
      "/parameter.wasm": [200, "application/wasm; charset=utf-8", wasm],
      "/case.wasm": [200, "Application/WASM", wasm],
      "/doubled.wasm": [200, ["application/wasm", "application/wasm"], wasm],
      "/nothing.wasm": [200, "", wasm],
      "/octets.wasm": [200, "application/octet-stream", wasm],
      "/html.wasm": [200, "text/html; charset=utf-8", "<!doctype html><title>App</title>"],
      "/cut.wasm": [200, "application/wasm", wasm.subarray(0, 5000)],
      "/other.wasm": [200, "application/wasm", new Uint8Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])],
    };
    if (request.url.startsWith("/flaky")) return flaky(request, response, failures);
    const [silence] = silences[request.url.split("/")[2]] ?? [];
    if (silence) return flaky(request, response, [silence, silence]);
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

// What becomes of one request after the other, at each path.
const failures = [
  (response) => response.writeHead(503, { "content-type": "text/html" }).end("<h1>busy</h1>"),
  (response) => response.destroy(),
  (response) => {
    response.writeHead(200, { "content-type": "application/wasm", "content-length": wasm.length });
    response.write(wasm.subarray(0, 100_000), () => response.destroy());
  },
  (response) => response.writeHead(200, { "content-type": "application/wasm" }).end(wasm.subarray(0, 100_000)),
  (response) => response.writeHead(429).end(),
];
// How servers take the connection and go silent, and what is said of it.
const partly = (type) => (response) => {
  response.writeHead(200, { "content-type": type, "content-length": wasm.length });
  response.write(wasm.subarray(0, 100_000));
};
const silences = {
  "no-answer": [() => {}, /: no answer within 30 s$/],
  "half-streamed": [partly("application/wasm"), /: status 200, application\/wasm: it did not come as a whole within 300 s$/],
  "half-read": [partly("text/plain"), /: status 200, text\/plain: it did not come as a whole within 300 s$/],
};
const asked = new Map();
function flaky({ url }, response, failures) {
  const n = asked.get(url) ?? 0;
  asked.set(url, n + 1);
  if (n < failures.length) failures[n](response);
  else response.writeHead(200, { "content-type": "application/wasm" }).end(wasm);
}

after(async () => {
  web.closeAllConnections();
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
    ...["parameter", "case", "doubled", "nothing"].map((name) => `wasmUrl: "${origin}/${name}.wasm"`),
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
    const { stdout } = await inProcess(connect(`wasmUrl: "${url}", autoRetry: false`));
    assert.match(stdout, /^WASM_LOAD_FAILED error WASM_LOAD_FAILED /);
    assert.match(stdout, want);
  }
});

test("a module that does not come at once is asked for again, and what waited for it goes out", async () => {
  const { stdout } = await inProcess(`
    import KinopioHub from "./dist/index.mjs";
    const hub = new KinopioHub({ servers: ["${nats.ws}"], wasmUrl: "${origin}/flaky.wasm", retryDelay: 1, reconnectTimeWait: 1, timeout: 20000 });
    const errors = [];
    hub.onError((error) => errors.push(error.code + " " + error.message.replace(/.*flaky.wasm: /, "")));
    const got = new Promise((yes) => hub.load.early.sub(yes));
    const sent = hub.load.early.pub("early");
    await hub.connected(20000);
    await sent;
    console.log(await got, hub.state);
    console.log(JSON.stringify(errors));
    await hub.dispose();`);
  assert.equal(asked.get("/flaky.wasm"), 6);
  const [first, second] = stdout.split("\n");
  assert.equal(first, "early connected");
  const errors = JSON.parse(second);
  assert.ok(errors.length >= 4, second); // what is the same again is told once, and Bun says the same of two of them
  for (const error of errors) assert.match(error, /status 503|fetch failed|terminated|aborted|socket connection was closed|status 429|CompileError|WebAssembly/);
});

test("a module whose server goes silent is asked for again after a time", { timeout: 120_000 }, async () => {
  const plays = Object.entries(silences).flatMap(([name, [, want]]) => [true, false].map(async (signal) => {
    const { stdout } = await inProcess(`
      const real = setTimeout; // half a minute is 1 s here, and five minutes are 10 s
      globalThis.setTimeout = (fn, ms, ...rest) => real(fn, ms >= 30_000 ? ms / 30 : ms, ...rest);
      const fetched = fetch;
      if (${!signal}) globalThis.fetch = (url) => fetched(url); // as a polyfill that knows no signal
      const { default: KinopioHub } = await import("./dist/index.mjs");
      const hub = new KinopioHub({ servers: ["${nats.ws}"], wasmUrl: "${origin}/${signal}/${name}/hub.wasm", retryDelay: 1, reconnectTimeWait: 1 });
      const errors = [];
      hub.onError((error) => errors.push(error.code + " " + error.message));
      await hub.connected(60000);
      console.log(errors.join("\\n"));
      await hub.dispose();
      process.exit(); // what a polyfill cannot end goes on`);
    assert.ok(stdout.split("\n").some((line) => line.startsWith("WASM_LOAD_FAILED ") && want.test(line)), `${name}: ${stdout}`);
  }));
  await Promise.all(plays);
});

test("what waits for the module too long fails with the reason, and is not sent later", async () => {
  const { stdout } = await inProcess(`
    import { createServer } from "node:http";
    import { readFileSync } from "node:fs";
    import KinopioHub from "./dist/index.mjs";
    let up = false;
    const web = createServer((_, response) => up ? response.writeHead(200).end(readFileSync("dist/kinopio-hub.wasm")) : response.writeHead(503).end());
    await new Promise((yes) => web.listen(0, "127.0.0.1", yes));
    const hub = new KinopioHub({ servers: ["${nats.ws}"], wasmUrl: "http://127.0.0.1:" + web.address().port + "/x.wasm", retryDelay: 1, reconnectTimeWait: 1, timeout: 200 });
    const got = [];
    const subscribed = hub.load.late.sub((value) => got.push(value));
    const codes = await Promise.all([hub.connected(150), hub.load.late.pub(1), hub.load.late.pub(2), hub.load.late.req(3), hub.load.late.reqMany(3), hub.flush(), hub.connect(100)]
      .map((promise) => promise.then(() => "resolved", (error) => error.code)));
    console.log(codes.join(), hub.state, hub.status.lastError.code);
    const connected = hub.connected(0);
    up = true;
    await connected;
    await subscribed;
    await hub.load.late.pub("now");
    await hub.flush();
    console.log(got.join());
    await hub.dispose();
    web.closeAllConnections();
    web.close();`);
  assert.equal(stdout, `${Array(7).fill("WASM_LOAD_FAILED").join()} connecting WASM_LOAD_FAILED\nnow`);
});

test("a hub that waits for the module is disposed at once", async () => {
  const { stdout } = await inProcess(`
    import KinopioHub from "./dist/index.mjs";
    const hub = new KinopioHub({ servers: ["${nats.ws}"], wasmUrl: "${nowhere}/x.wasm", retryDelay: 1e9, maxRetryDelay: 1e9, reconnectTimeWait: 1e9 });
    await new Promise((yes) => hub.onError(yes));
    const waiting = hub.connected(0).catch((error) => error.code);
    await hub.dispose();
    console.log(await waiting, hub.state);`);
  assert.equal(stdout, "DISPOSED disconnected");
});

test("a hub with discovery is made everywhere, and says what its discovery lacks", async () => {
  const { stdout } = await inProcess(`
    import KinopioHub from "./dist/index.mjs";
    const hub = new KinopioHub({ servers: ["${nats.ws}"], discovery: { enabled: true } });
    const said = new Promise((yes) => hub.onError(yes));
    await hub.connected();
    const refused = await hub.requestLocalNetwork().catch((error) => error);
    console.log((await said).code, refused.code, /set it to an http/.test(refused.message), hub.discoveryStatus.state, /discovery.manifestUrl/.test(hub.discoveryStatus.detail));
    await hub.dispose();`);
  assert.equal(stdout, "INVALID_CONFIG INVALID_CONFIG true idle true");
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
