import { within } from "./deferred.js";
import { KinopioError, messageOf } from "./errors.js";
import { isNode, readFile, wsPackage } from "./node.js";
import { Runtime } from "./runtime.js";
import type { WebSocketClass } from "./sockets.js";
import { defaultWasmUrl } from "./wasm-location.js";

/** Where the module comes from. Only the first hub of a page loads it; the others share it. */
export interface WasmSource {
  wasmUrl?: string | URL;
  wasmModule?: WebAssembly.Module | BufferSource | Promise<WebAssembly.Module | BufferSource>;
}

// How long a server may take to answer, and then to send all of the module.
const answerMs = 30_000;
const wholeMs = 300_000;

// Failures that may be over when it is tried again: the network's, and a busy server's.
const passing = /* @__PURE__ */ new WeakSet<object>();

/** Whether a failed load may succeed later. */
export const mayPass = (error: object): boolean => passing.has(error);

let shared: Promise<Runtime> | undefined;
let live: Runtime | undefined;

/** The page's one runtime; a failed start is tried again by the next hub. */
export function loadRuntime(source: WasmSource): Promise<Runtime> {
  if (live?.crash) shared = live = undefined;
  if (!shared) {
    const attempt = compile(source).then(({ module, from }) =>
      Runtime.start(module).catch((cause) => {
        // Some browsers ask their policy only now.
        throw cause instanceof KinopioError ? cause : new KinopioError("WASM_LOAD_FAILED", `load ${from}: ${whyNot(cause)}`, { cause });
      }),
    );
    shared = attempt;
    attempt.then(
      (runtime) => (live = runtime),
      () => {
        if (shared === attempt) shared = undefined;
      },
    );
  }
  return shared;
}

/** The runtime, if it runs. */
export function currentRuntime(): Runtime | undefined {
  return live;
}

/** A module, and where it is from, for errors. */
interface Compiled {
  module: WebAssembly.Module;
  from: string;
}

async function compile({ wasmModule, wasmUrl }: WasmSource): Promise<Compiled> {
  if (typeof WebAssembly !== "object") throw new KinopioError("WASM_LOAD_FAILED", "there is no WebAssembly here");
  if (wasmModule) {
    let given: unknown;
    try {
      given = await wasmModule;
    } catch (cause) {
      throw new KinopioError("WASM_LOAD_FAILED", `option wasmModule: ${whyNot(cause)}`, { cause });
    }
    const kind = Object.prototype.toString.call(given); // also of another realm's
    if (kind === "[object WebAssembly.Module]") return { module: given as WebAssembly.Module, from: "option wasmModule" };
    if (kind === "[object ArrayBuffer]" || ArrayBuffer.isView(given)) return compileBytes(given as BufferSource, "option wasmModule");
    throw new KinopioError("WASM_LOAD_FAILED", "option wasmModule: its promise brought neither a WebAssembly.Module nor bytes");
  }
  let url = wasmUrl;
  try {
    url ??= defaultWasmUrl();
  } catch {
    // a script without a place, such as a blob's or one of a bundle in an older format
  }
  if (!url) throw new KinopioError("WASM_LOAD_FAILED", "cannot tell where kinopio-hub.wasm is: set the option wasmUrl, or wasmModule");
  const text = String(url);
  if (isNode && !/^(https?|data|blob):/.test(text)) {
    let bytes;
    try {
      bytes = await readFile(text.startsWith("file:") ? new URL(text) : text);
    } catch (cause) {
      throw new KinopioError("WASM_LOAD_FAILED", `load ${text}: ${messageOf(cause)}`, { cause });
    }
    return compileBytes(bytes, text);
  }
  return fetchModule(text);
}

async function fetchModule(url: string): Promise<Compiled> {
  const failed = (why: string, cause?: unknown) => new KinopioError("WASM_LOAD_FAILED", `load ${url}: ${why}`, { cause });
  const failedNow = (why: string, cause?: unknown) => {
    const error = failed(why, cause);
    passing.add(error);
    return error;
  };
  // A server may take the connection and say nothing more. What comes slowly, comes.
  const giveUp = new AbortController();
  const late = (what: string, ms: number) => () => {
    giveUp.abort();
    return failedNow(`${what} within ${ms / 1000} s`);
  };
  let response: Response;
  try {
    response = await within(fetch(url, { credentials: "same-origin", signal: giveUp.signal }), answerMs, late("no answer", answerMs));
  } catch (cause) {
    if (cause instanceof KinopioError) throw cause;
    // Node keeps the reason in the error's own cause; browsers give none.
    const reason = cause instanceof Error && cause.cause ? `: ${messageOf(cause.cause)}` : "";
    if (/^file:/.test(url)) throw failed("browsers fetch nothing from file://: serve the page by http, or give the module by the option wasmModule", cause);
    throw failedNow(messageOf(cause) + reason + guess(), cause);
  }
  const type = response.headers.get("content-type") ?? "no content type";
  if (!response.ok) throw (response.status >= 500 || [408, 425, 429].includes(response.status) ? failedNow : failed)(`status ${response.status}, ${type}`);
  const compiled = async (): Promise<Compiled> => {
    // Streaming wants the type exactly so, and a Response of the browser's own; without it, and whenever it
    // refuses, the bytes say what they are.
    if (typeof WebAssembly.compileStreaming === "function" && type.toLowerCase() === "application/wasm") {
      try {
        return { module: await WebAssembly.compileStreaming(response), from: url };
      } catch (cause) {
        if (forbidden.test(messageOf(cause))) throw failed(`status ${response.status}, ${type}: ${whyNot(cause)}`, cause);
        if (response.bodyUsed) throw failedNow(`status ${response.status}, ${type}: ${messageOf(cause)}`, cause); // cut, probably
      }
    }
    let bytes: Uint8Array<ArrayBuffer>;
    try {
      bytes = new Uint8Array(await response.arrayBuffer());
    } catch (cause) {
      throw failedNow(`status ${response.status}, ${type}: ${messageOf(cause)}`, cause);
    }
    return compileBytes(bytes, `${url}: status ${response.status}, ${type}`);
  };
  return within(compiled(), wholeMs, late(`status ${response.status}, ${type}: it did not come as a whole`, wholeMs));
}

/** What may be the cause of a fetch that failed, of which browsers say nothing. */
function guess(): string {
  if (isNode) return "";
  const opaque = typeof origin === "string" && origin === "null";
  const sandbox = opaque ? "; this page has no origin of its own (a sandboxed frame, a data: or file: page), so the server must send Access-Control-Allow-Origin: *, or the frame needs allow-same-origin, or the module comes by the option wasmModule" : "";
  return ` (not reachable, or refused by CORS or by the page's Content-Security-Policy${sandbox})`;
}

async function compileBytes(source: BufferSource, from: string): Promise<Compiled> {
  const bytes = ArrayBuffer.isView(source)
    ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
    : new Uint8Array(source);
  if (bytes.length < 8 || bytes[0] !== 0 || bytes[1] !== 0x61 || bytes[2] !== 0x73 || bytes[3] !== 0x6d) {
    const start = new TextDecoder().decode(bytes.subarray(0, 40)).replace(/[^\x20-\x7e]+/g, " ").trim();
    throw new KinopioError("WASM_LOAD_FAILED", `load ${from}: this is no WebAssembly; it begins with ${JSON.stringify(start)}`);
  }
  try {
    return { module: await WebAssembly.compile(source), from };
  } catch (cause) {
    throw new KinopioError("WASM_LOAD_FAILED", `load ${from}: ${whyNot(cause)}`, { cause });
  }
}

const forbidden = /unsafe-eval|\bCSP\b|content.security.policy/i;

/** Why a module was not compiled. Browsers name another source in a policy than the one that is enough. */
function whyNot(cause: unknown): string {
  const why = messageOf(cause);
  if (!forbidden.test(why)) return why;
  return `the page's Content-Security-Policy forbids WebAssembly, add 'wasm-unsafe-eval' to its script-src (${why})`;
}

/** The WebSocket class of this platform: the global one, else the `ws` package's. */
export async function platformWebSocket(): Promise<WebSocketClass> {
  if (typeof WebSocket === "function") return WebSocket as unknown as WebSocketClass;
  try {
    return await wsPackage();
  } catch (cause) {
    throw new KinopioError("CONNECT_FAILED", "there is no WebSocket here: install the package ws, or set the option WebSocket", { cause });
  }
}
