import { toAuth, type Authenticator, type Credentials } from "./auth.js";
import type { Codec } from "./codec.js";
import { KinopioError } from "./errors.js";
import { isTarget } from "./names.js";
import { nearest } from "./nearest.js";
import type { WebSocketClass } from "./sockets.js";

/** How to look for the leaf on the LAN. */
export interface DiscoveryOptions {
  /** Looks for a leaf. Default false. */
  enabled?: boolean;
  /** Where the leaf's manifest is. Default: the page's origin + /.well-known/kinopio-leader.json. */
  manifestUrl?: string;
  /**
   * The namespace of leaves (`kinopio-hub leaf … --discovery-namespace`), which are asked for over the session. Then no
   * manifestUrl is needed; with one both ways are gone.
   */
  namespace?: string;
  /**
   * The public key of the namespace, as `kinopio-hub leaf key` prints it: leaves count only if they have signed their
   * answer by it.
   */
  namespaceKey?: string;
  /** Goes on looking after the first time. Default true. */
  backgroundLocalProbe?: boolean;
  /** Bounds fetching the manifest and, apart, connecting to the leaf. Default 1500 ms. */
  localSwitchTimeoutMs?: number;
  /** Time between two looks at the manifest. Default 5000 ms. */
  cacheTtlMs?: number;
  /**
   * What to do where the browser demands a permission for the local network. "ask": look where it
   * is granted or not needed, else wait for `hub.requestLocalNetwork()`. "auto": let the browser ask
   * its user, once a page load. "never": reach for nothing that might need it. Default "ask".
   */
  localNetwork?: "ask" | "auto" | "never";
  /**
   * Whether a leaf must be connected to its backbone, before the hub moves there and as long as it is there: true:
   * always; "configured": if it has one; false: never mind. Default true.
   */
  requireBackbone?: "configured" | boolean;
  /**
   * What a leaf that was found is shown: "none" (but a ticket, which is good once, if the leaf gives them over the session),
   * "ticket" (no leaf that gives none), "same" (as the servers are: whoever runs the leaf can
   * then use it elsewhere), or credentials that are good for leaves only. Default "none".
   */
  credentials?: "none" | "ticket" | "same" | Credentials;
}

/** What is done about messages that get lost with a connection. */
export interface RepairOptions {
  /** Bounds what is kept of what was published lately, for those who miss it. -1 keeps nothing. Default 8 MiB. */
  bytes?: number;
  /** How long it is kept. Default 10000 ms. */
  ageMs?: number;
  /** How long messages wait for one before them that is missing and was asked for. Default 5000 ms. */
  waitMs?: number;
}

/** The options of a hub. Times are in milliseconds. */
export interface KinopioOptions extends Credentials {
  /** The servers' URLs, ws:// or wss://. Unset: two public demo servers, with a warning. */
  servers?: string[];
  /** Logs readable lines to the console, or to the function. Default false. */
  debug?: boolean | ((line: string) => void);
  /** Keeps the hub's own messages from its own subscriptions. Default false. */
  noEcho?: boolean;
  /**
   * Begins the subjects of answers to this hub's requests, and of what it sends itself while it moves, for servers that
   * permit a user an inbox of its own only. Default "_INBOX".
   */
  inboxPrefix?: string;
  /** How several servers are ordered before connecting. Default "latency". */
  serverSelectionMode?: "ordered" | "random" | "latency";
  /**
   * Numbers each message that is published, in a header of 29 bytes and more (`Kseq`), by which other
   * hubs keep the order, leave out copies, and ask for what got lost. Default true.
   */
  numbers?: boolean;
  /** What is done about messages that get lost with a connection. */
  repair?: RepairOptions;
  /**
   * Keeps a second connection, without subscriptions, to the next-best of the servers, so that
   * the loss of the first costs one round trip. Default false.
   */
  standby?: boolean;
  /**
   * Time after which "latency" mode looks for a server that is nearer, in milliseconds.
   * Default 600000.
   */
  reprobeInterval?: number;
  /** How much nearer a server must be to move there, in milliseconds. Default 30. */
  reprobeGain?: number;
  /** Legacy: true is "ordered", false is "random"; without effect beside serverSelectionMode. */
  noRandomize?: boolean;
  /** Rounds of attempts after a lost connection; 0: its loss is final. Default -1: without end. */
  maxReconnectAttempts?: number;
  /** Goes on trying when the first connection fails. Default true. */
  waitOnFirstConnect?: boolean;
  /** Bounds one attempt to connect. Default 5000. */
  reconnectTimeout?: number;
  /** Least time between two attempts on one server. Default 500. */
  reconnectTimeWait?: number;
  /** Time between two pings. Default 3000. */
  pingInterval?: number;
  /** Unanswered pings after which a connection is given up. Default 3. */
  maxPingOut?: number;
  /** Bounds operations: a request, a publish that waits for a connection, a flush. Default 3000. */
  timeout?: number;
  /** How long a variable is followed after its last callback or watcher has ended. Default 5000. */
  linger?: number;
  /** How long a variable is followed, at least, and twice that at most, after its value was read. Default 120000. */
  readLinger?: number;
  /** Interval of health reports. Default 5000. */
  healthReport?: number;
  /** Connects as soon as the hub is made. Default true; otherwise call `connect()`. */
  autoConnect?: boolean;
  /** Tries again when connecting failed. Default true. */
  autoRetry?: boolean;
  /** First delay between rounds in which no server could be reached. Default 1000. */
  retryDelay?: number;
  /** Growth of that delay. Default 1.5. */
  retryBackoffFactor?: number;
  /** Bound of that delay. Default 30000. */
  maxRetryDelay?: number;
  /** Bytes that may wait while there is no connection. Default 8 MiB. */
  pendingLimitBytes?: number;
  /** Gives the credentials anew for each connection, instead of token, user, nkeySeed or creds. */
  authenticator?: Authenticator;
  /** The leaf on the LAN. */
  discovery?: DiscoveryOptions;
  /** Replaces JSON for values other than null, bytes and strings. */
  codec?: Codec;
  /** Given to JSON.stringify. */
  jsonReplacer?: (this: any, key: string, value: any) => any;
  /** Given to JSON.parse. */
  jsonReviver?: (this: any, key: string, value: any) => any;
  /** The client's name in the servers' monitoring. Default "kinopio-hub". */
  name?: string;
  /** Where kinopio-hub.wasm is. Default: beside the script. */
  wasmUrl?: string | URL;
  /**
   * The compiled module, or its bytes, or the promise of either, instead of a URL. A page that
   * begins to fetch and compile before its scripts are there connects sooner:
   * `WebAssembly.compileStreaming(fetch("kinopio-hub.wasm"))`.
   */
  wasmModule?: WebAssembly.Module | BufferSource | Promise<WebAssembly.Module | BufferSource>;
  /** The WebSocket class. Default: the platform's, in Node without one that of the package `ws`. */
  WebSocket?: WebSocketClass;
}

interface Rule {
  want: string;
  ok(value: any): boolean;
}

const isNumber = (value: any): boolean => typeof value === "number" && Number.isFinite(value);
const boolean: Rule = { want: "true or false", ok: (v) => typeof v === "boolean" };
const text: Rule = { want: "a string", ok: (v) => typeof v === "string" && v !== "" };
const positive: Rule = { want: "milliseconds, more than 0", ok: (v) => isNumber(v) && v > 0 };
const delay: Rule = { want: "milliseconds, 0 or more", ok: (v) => isNumber(v) && v >= 0 };
const count: Rule = { want: "a whole number from 1", ok: (v) => Number.isInteger(v) && v >= 1 };
const object: Rule = { want: "an object", ok: (v) => typeof v === "object" && v !== null && !Array.isArray(v) };
const fn: Rule = { want: "a function", ok: (v) => typeof v === "function" };

const secret: Rule = { want: "", ok: () => true }; // toAuth looks at these, and shows none

const rules: Record<keyof KinopioOptions, Rule> = {
  servers: {
    want: 'an array of at least one URL such as "wss://host:443"; leave it out for the public demo servers',
    ok: (v) => Array.isArray(v) && v.length > 0,
  },
  debug: { want: "true, false or a function", ok: (v) => typeof v === "boolean" || typeof v === "function" },
  noEcho: boolean,
  inboxPrefix: {
    want: 'the beginning of a subject, such as "_INBOX_alice", without wildcards, of at most 256 bytes, and not $… or _KH, which are taken',
    ok: (v) => typeof v === "string" && v.length <= 256 && isTarget(v) && !/^(\$|_KH(\.|$))/.test(v),
  },
  serverSelectionMode: { want: '"ordered", "random" or "latency"', ok: (v) => ["ordered", "random", "latency"].includes(v) },
  numbers: boolean,
  repair: object,
  standby: boolean,
  reprobeInterval: positive,
  reprobeGain: positive,
  noRandomize: boolean,
  maxReconnectAttempts: { want: "a whole number; -1 for no end", ok: (v) => Number.isInteger(v) && v >= -1 },
  waitOnFirstConnect: boolean,
  reconnectTimeout: positive,
  reconnectTimeWait: delay,
  pingInterval: positive,
  maxPingOut: count,
  timeout: positive,
  linger: positive,
  readLinger: positive,
  healthReport: positive,
  autoConnect: boolean,
  autoRetry: boolean,
  retryDelay: delay,
  retryBackoffFactor: { want: "a number from 1", ok: (v) => isNumber(v) && v >= 1 },
  maxRetryDelay: positive,
  pendingLimitBytes: count,
  token: secret,
  user: secret,
  pass: secret,
  nkeySeed: secret,
  creds: secret,
  authenticator: fn,
  discovery: object,
  codec: {
    want: "an object with the functions encode and decode",
    ok: (v) => typeof v?.encode === "function" && typeof v?.decode === "function",
  },
  jsonReplacer: fn,
  jsonReviver: fn,
  name: text,
  wasmUrl: { want: "a URL", ok: (v) => (typeof v === "string" && v !== "") || v instanceof URL },
  wasmModule: {
    want: "a WebAssembly.Module or its bytes, or the promise of either",
    ok: (v) => typeof v?.then === "function" || ArrayBuffer.isView(v) || /WebAssembly.Module|ArrayBuffer/.test(Object.prototype.toString.call(v)),
  },
  WebSocket: { want: "a WebSocket class", ok: (v) => typeof v === "function" },
};

const discoveryRules: Record<keyof DiscoveryOptions, Rule> = {
  enabled: boolean,
  manifestUrl: text,
  namespace: text,
  namespaceKey: { want: "the public key of the namespace, as kinopio-hub leaf key prints it, which begins with N and has 56 characters", ok: (v) => typeof v === "string" && /^N[A-Z2-7]{55}$/.test(v) },
  backgroundLocalProbe: boolean,
  localSwitchTimeoutMs: positive,
  cacheTtlMs: positive,
  localNetwork: { want: '"ask", "auto" or "never"', ok: (v) => ["ask", "auto", "never"].includes(v) },
  requireBackbone: { want: '"configured", true or false', ok: (v) => ["configured", true, false].includes(v) },
  credentials: { want: '"none", "ticket", "same" or an object with one of token, user with pass, nkeySeed, creds', ok: (v) => ["none", "ticket", "same"].includes(v) || (typeof v === "object" && v !== null && !Array.isArray(v)) },
};

const repairRules: Record<keyof RepairOptions, Rule> = {
  bytes: { want: "a whole number from 1, or -1 to keep nothing", ok: (v) => Number.isInteger(v) && (v >= 1 || v === -1) },
  ageMs: positive,
  waitMs: positive,
};

/** The names of all options, for the documentation's test. */
export const optionNames: readonly string[] = /* @__PURE__ */ Object.keys(rules);

/** What `open` in wasm/open.go reads: options under hub.Config's names, unset ones left out. */
export type HubConfig = Record<string, unknown>;

/**
 * Checks options and returns what the module needs of them.
 *
 * @throws KinopioError INVALID_CONFIG: the field, the value, and what would be right
 */
export function toConfig(options: KinopioOptions): HubConfig {
  check("", options, rules);
  const servers = options.servers?.map(checkServer);
  const discovery = options.discovery ?? {};
  const repair = options.repair ?? {};
  if (options.discovery) check("discovery.", discovery, discoveryRules);
  check("repair.", repair, repairRules);
  const session = discovery.namespace !== undefined; // the page's own origin is then no default
  const manifest = discovery.enabled && !(session && discovery.manifestUrl === undefined) ? manifestUrl(discovery.manifestUrl) : undefined;
  const legacy = options.noRandomize === undefined ? undefined : options.noRandomize ? "ordered" : "random";
  const config: HubConfig = {
    servers,
    selection: options.serverSelectionMode ?? legacy,
    noNumbers: not(options.numbers),
    repairBytes: repair.bytes,
    repairAge: repair.ageMs,
    repairWait: repair.waitMs,
    standby: options.standby,
    reprobe: options.reprobeInterval,
    reprobeGain: options.reprobeGain,
    name: options.name,
    noEcho: options.noEcho,
    inboxPrefix: options.inboxPrefix,
    manualConnect: not(options.autoConnect),
    failFast: not(options.waitOnFirstConnect),
    noRetry: not(options.autoRetry),
    maxReconnects: options.maxReconnectAttempts === 0 ? -2 : options.maxReconnectAttempts, // hub.NoReconnects
    reconnectTimeout: options.reconnectTimeout,
    reconnectWait: least(options.reconnectTimeWait),
    retryDelay: least(options.retryDelay),
    retryFactor: options.retryBackoffFactor,
    maxRetryDelay: options.maxRetryDelay,
    pingInterval: options.pingInterval,
    maxPingOut: options.maxPingOut,
    timeout: options.timeout,
    pendingLimit: options.pendingLimitBytes,
    healthReport: options.healthReport,
    auth: toAuth(options),
    authenticator: options.authenticator ? true : undefined,
    debug: options.debug ? true : undefined,
    discovery: discovery.enabled && (session || manifest !== undefined) ? true : undefined,
    manifestUrl: manifest,
    namespace: discovery.namespace,
    namespaceKey: discovery.namespaceKey,
    noBackgroundProbe: not(discovery.backgroundLocalProbe),
    switchTimeout: discovery.localSwitchTimeoutMs,
    cacheTtl: discovery.cacheTtlMs,
    localNetwork: discovery.localNetwork,
    requireBackbone: backbone(discovery.requireBackbone),
    leafCredentials: typeof discovery.credentials === "string" ? discovery.credentials : undefined,
    leafAuth: typeof discovery.credentials === "object" ? toAuth(discovery.credentials) : undefined,
  };
  return config;
}

function check(path: string, given: object, known: Record<string, Rule>): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) throw invalid("options", given, "an object");
  for (const [name, value] of Object.entries(given)) {
    if (!Object.hasOwn(known, name)) {
      const hint = nearest(name, Object.keys(known));
      throw new KinopioError("INVALID_CONFIG", `invalid configuration: unknown option ${path}${name}${hint ? `: did you mean ${path}${hint}?` : ""}`);
    }
    const rule = known[name]!;
    if (value !== undefined && !rule.ok(value)) throw invalid(path + name, value, rule.want);
  }
}

function checkServer(server: unknown, i: number): string {
  const field = `servers[${i}]`;
  const want = 'a URL such as "wss://host:443" (ws or wss: this is what browsers speak)';
  if (typeof server !== "string") throw invalid(field, server, want);
  let url: URL;
  try {
    url = new URL(server.trim());
  } catch {
    throw invalid(field, server.replace(/\/\/.*@/, "//…@"), want);
  }
  if (!/^wss?:$/.test(url.protocol) || url.hostname === "") throw invalid(field, redact(url), want);
  return server.trim();
}

/** Why discovery cannot begin, where it is enabled; the hub works without it. */
export function discoveryLacks(options: KinopioOptions): string | undefined {
  if (!options.discovery?.enabled || options.discovery.namespace !== undefined || options.discovery.manifestUrl !== undefined || pageOrigin() !== undefined) return undefined;
  return `discovery is off: only a page from an http or https origin has a default for discovery.manifestUrl, set it to ${manifestWanted}, or set discovery.namespace`;
}

const manifestWanted = 'an http or https URL such as "https://app.example.com/.well-known/kinopio-leader.json"';

/** The origin of a page or Worker, also of one made of a blob; programs and file: pages have none. */
function pageOrigin(): string | undefined {
  const { origin, location } = globalThis as { origin?: string; location?: { origin?: string } };
  return [origin, location?.origin].find((one) => typeof one === "string" && /^https?:/.test(one));
}

/** Where the manifest is; undefined where that cannot be told ({@link discoveryLacks}). */
function manifestUrl(given: string | undefined): string | undefined {
  const page = pageOrigin();
  if (given === undefined && page === undefined) return undefined;
  let url: URL;
  try {
    url = new URL(given ?? "/.well-known/kinopio-leader.json", page && (globalThis.location?.href.startsWith("http") ? location.href : page));
  } catch {
    throw invalid("discovery.manifestUrl", given, manifestWanted);
  }
  if (!/^https?:$/.test(url.protocol)) throw invalid("discovery.manifestUrl", redact(url), manifestWanted);
  return url.href;
}

function redact(url: URL): string {
  const shown = new URL(url.href);
  if (shown.username || shown.password) shown.username = shown.password = "";
  return shown.href;
}

function invalid(field: string, value: unknown, want: string): KinopioError {
  return new KinopioError("INVALID_CONFIG", `invalid configuration: ${field} = ${show(value)}: want ${want}`);
}

function show(value: unknown): string {
  if (typeof value === "function") return "a function";
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

function backbone(required: "configured" | boolean | undefined): string | undefined {
  return typeof required === "boolean" ? (required ? "always" : "never") : required;
}

/** The negation of an option that is set. */
function not(value: boolean | undefined): boolean | undefined {
  return value === undefined ? undefined : !value;
}

/** In Go 0 stands for the default, so no delay is a very small one. */
function least(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : Math.max(ms, 0.001);
}
