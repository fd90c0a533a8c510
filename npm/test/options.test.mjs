import assert from "node:assert/strict";
import { test } from "node:test";
import { source } from "./helpers.mjs";

const { toConfig, optionNames } = await source("options.ts");
const { toFlags } = await source("leaf-flags.ts");
const set = (config) => JSON.parse(JSON.stringify(config));

test("no options are no fields: the hub has the defaults", () => {
  assert.deepEqual(set(toConfig({})), {});
});

test("every option of the table reaches the hub under its name there", () => {
  const config = set(toConfig({
    servers: ["wss://a.example:443", "ws://user:secret@b.example"],
    debug: true, noEcho: true, serverSelectionMode: "ordered", maxReconnectAttempts: 5, waitOnFirstConnect: false,
    reconnectTimeout: 1, reconnectTimeWait: 2, pingInterval: 3, maxPingOut: 4, timeout: 5, healthReport: 6,
    autoConnect: false, autoRetry: false, retryDelay: 7, retryBackoffFactor: 1.25, maxRetryDelay: 8, pendingLimitBytes: 9,
    numbers: false, repair: { bytes: -1, ageMs: 12, waitMs: 13 },
    discovery: { enabled: true, manifestUrl: "https://app.example/m.json", namespace: "studio", namespaceKey: "N" + "A".repeat(55), backgroundLocalProbe: false, localSwitchTimeoutMs: 10, cacheTtlMs: 11, localNetwork: "auto", requireBackbone: false, credentials: { user: "leaf-user", pass: "leaf-pass" } },
  }));
  assert.deepEqual(config, {
    servers: ["wss://a.example:443", "ws://user:secret@b.example"],
    debug: true, noEcho: true, selection: "ordered", maxReconnects: 5, failFast: true,
    reconnectTimeout: 1, reconnectWait: 2, pingInterval: 3, maxPingOut: 4, timeout: 5, healthReport: 6,
    manualConnect: true, noRetry: true, retryDelay: 7, retryFactor: 1.25, maxRetryDelay: 8, pendingLimit: 9,
    noNumbers: true, repairBytes: -1, repairAge: 12, repairWait: 13,
    discovery: true, manifestUrl: "https://app.example/m.json", namespace: "studio", namespaceKey: "N" + "A".repeat(55), noBackgroundProbe: true, switchTimeout: 10, cacheTtl: 11, localNetwork: "auto", requireBackbone: "never",
    leafAuth: { user: "leaf-user", password: "leaf-pass" },
  });
});

test("no delay is not the default delay", () => {
  const config = toConfig({ retryDelay: 0, reconnectTimeWait: 0 });
  assert.ok(config.retryDelay > 0 && config.retryDelay < 0.01);
  assert.ok(config.reconnectWait > 0 && config.reconnectWait < 0.01);
});

test("noRandomize is an alias while serverSelectionMode is not set", () => {
  assert.equal(toConfig({ noRandomize: true }).selection, "ordered");
  assert.equal(toConfig({ noRandomize: false }).selection, "random");
  assert.equal(toConfig({ noRandomize: true, serverSelectionMode: "latency" }).selection, "latency");
});

test("an unknown option names the nearest one", () => {
  assert.throws(() => toConfig({ server: [] }), { code: "INVALID_CONFIG", message: /unknown option server: did you mean servers\?/ });
  assert.throws(() => toConfig({ discovery: { manifestURL: "x" } }), { message: /discovery\.manifestURL: did you mean discovery\.manifestUrl\?/ });
  assert.throws(() => toConfig({ repair: { wait: 1 } }), { message: /repair\.wait: did you mean repair\.waitMs\?/ });
  assert.throws(() => toConfig({ moves: "queue" }), { code: "INVALID_CONFIG", message: /unknown option moves/ });
  assert.throws(() => toConfig({ zzzzzzzzzz: 1 }), { message: /unknown option zzzzzzzzzz$/ });
});

test("a wrong value is told with its field, itself and what would be right", () => {
  for (const [options, wants] of [
    [{ servers: [] }, "servers = []: want"],
    [{ servers: null }, "servers = null: want"],
    [{ servers: "wss://a" }, 'servers = "wss://a": want'],
    [{ servers: [""] }, 'servers[0] = "": want'],
    [{ servers: ["wss://a", "nats://b:4222"] }, 'servers[1] = "nats://b:4222": want'],
    [{ servers: [7] }, "servers[0] = 7: want"],
    [{ noEcho: "yes" }, 'noEcho = "yes": want true or false'],
    [{ serverSelectionMode: "fast" }, 'serverSelectionMode = "fast": want "ordered"'],
    [{ discovery: { localNetwork: "yes" } }, 'discovery.localNetwork = "yes": want "ask", "auto" or "never"'],
    [{ discovery: { requireBackbone: "always" } }, 'discovery.requireBackbone = "always": want "configured", true or false'],
    [{ maxReconnectAttempts: -2 }, "maxReconnectAttempts = -2: want"],
    [{ maxReconnectAttempts: 1.5 }, "maxReconnectAttempts = 1.5: want"],
    [{ timeout: 0 }, "timeout = 0: want milliseconds"],
    [{ timeout: "3s" }, 'timeout = "3s": want milliseconds'],
    [{ timeout: NaN }, "timeout = null: want milliseconds"],
    [{ retryDelay: -1 }, "retryDelay = -1: want"],
    [{ retryBackoffFactor: 0.5 }, "retryBackoffFactor = 0.5: want a number from 1"],
    [{ codec: {} }, "codec = {}: want"],
    [{ jsonReplacer: 1 }, "jsonReplacer = 1: want a function"],
    [{ discovery: { credentials: "all" } }, 'discovery.credentials = "all": want "none", "ticket", "same" or an object'],
    [{ discovery: { namespaceKey: "short" } }, 'discovery.namespaceKey = "short": want the public key of the namespace'],
    [{ discovery: { namespace: "" } }, 'discovery.namespace = "": want a string'],
    [{ discovery: { credentials: { token: "" } } }, "token = (hidden): want a string"],
    [{ discovery: true }, "discovery = true: want an object"],
    [{ numbers: 1 }, "numbers = 1: want true or false"],
    [{ repair: false }, "repair = false: want an object"],
    [{ repair: null }, "repair = null: want an object"],
    [{ repair: { bytes: 0 } }, "repair.bytes = 0: want a whole number from 1, or -1 to keep nothing"],
    [{ repair: { bytes: -2 } }, "repair.bytes = -2: want"],
    [{ repair: { ageMs: 0 } }, "repair.ageMs = 0: want milliseconds"],
    [{ repair: { waitMs: -1 } }, "repair.waitMs = -1: want milliseconds"],
    [{ discovery: { enabled: 1 } }, "discovery.enabled = 1: want"],
    [{ discovery: { enabled: true, manifestUrl: "ftp://x/" } }, 'discovery.manifestUrl = "ftp://x/": want'],
    [{ wasmModule: "x" }, 'wasmModule = "x": want'],
  ]) {
    assert.throws(() => toConfig(options), (error) => error.code === "INVALID_CONFIG" && error.message.includes(wants), wants);
  }
});

test("errors show no passwords", () => {
  for (const servers of [["http://me:secret@host"], ["ws://me:secret@"], ["//me:secret@host"]]) {
    assert.throws(() => toConfig({ servers }), (error) => !error.message.includes("secret"));
  }
});

test("the seed's options are all known", () => {
  for (const name of [
    "servers", "debug", "noEcho", "serverSelectionMode", "maxReconnectAttempts", "waitOnFirstConnect", "reconnectTimeout",
    "reconnectTimeWait", "pingInterval", "maxPingOut", "timeout", "healthReport", "autoConnect", "autoRetry", "retryDelay",
    "retryBackoffFactor", "maxRetryDelay", "discovery", "codec", "jsonReplacer", "jsonReviver", "noRandomize",
  ]) assert.ok(optionNames.includes(name), name);
});

test("leaf options become flags", () => {
  assert.deepEqual(
    toFlags({
      discoveryNamespace: "studio", backboneServers: ["nats://a:7422", "nats://b:7422"], advertisedHostname: "h", nodeId: "n",
      cacheDir: "c", runtimeDir: "r", lanBindAddress: "127.0.0.1", webSocketTls: false, webTransport: false,
      ports: { client: 1, websocket: 2, discovery: 3, monitor: 4 }, tls: { certFile: "x", keyFile: "y" },
    }),
    [
      "--discovery-namespace=studio", "--advertised-hostname=h", "--node-id=n", "--cache-dir=c", "--runtime-dir=r", "--lan-bind-address=127.0.0.1",
      "--backbone-server=nats://a:7422", "--backbone-server=nats://b:7422", "--client-port=1", "--websocket-port=2", "--discovery-port=3",
      "--monitor-port=4", "--tls-cert-file=x", "--tls-key-file=y", "--no-websocket-tls", "--no-webtransport",
    ],
  );
  assert.throws(() => toFlags({}), { code: "INVALID_CONFIG", message: /discoveryNamespace/ });
  assert.throws(() => toFlags({ discoveryNamespace: "a", port: {} }), { message: /did you mean ports/ });
  assert.throws(() => toFlags({ discoveryNamespace: "a", ports: { client: "1" } }), { message: /ports\.client = "1": want a number/ });
});
