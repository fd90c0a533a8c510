import { Ids } from "./ids.js";
import { loadGo, type Go } from "virtual:wasm-exec";
import { KinopioError } from "./errors.js";
import { Arena } from "./arena.js";
import { GoClock } from "./clock.js";
import { answerQuickly } from "./go-events.js";
import { makeFileSystem, makeScope } from "./go-scope.js";
import { copyPayloads, Row, Rows, rowWords } from "./rows.js";
import { Sockets, type RootedWebSocketClass, type WebSocketClass } from "./sockets.js";
import { GoTimers } from "./timers.js";

/** The exports of wasm/exports.go. Addresses and booleans are numbers; none of them waits. */
export interface Exports {
  mem: WebAssembly.Memory;
  kinopio_buffer(n: number): number;
  kinopio_call(hub: number, n: number, more: number): number;
  kinopio_dispose(hub: number): void;
  kinopio_refresh(hub: number): void;
  kinopio_take(): number;
  kinopio_debug(): number;
  kinopio_ws_opened(id: number, n: number): void;
  kinopio_ws_room(id: number, n: number): number;
  kinopio_ws_commit(id: number, n: number): number;
  kinopio_ws_drained(id: number): void;
  kinopio_ws_late(hub: number, n: number): void;
  kinopio_ws_ended(id: number, how: number, n: number): void;
}

/** One hub's end of the runtime. */
export interface Client {
  /** The class that opens its sockets. */
  readonly WebSocket: WebSocketClass;
  /** The one for servers whose root is known, where there is one. */
  readonly Rooted?: RootedWebSocketClass;
  /** Rows for it, in order; never called while Go runs. */
  receive(rows: Rows): void;
  /** The row of its status that it asked for; it comes once more in its turn. */
  refreshed(rows: Rows, row: number): void;
  /** The module has ended. */
  crashed(error: KinopioError): void;
}

/** What the module holds, for tests and the curious. */
export interface Alive {
  goroutines: number;
  hubs: number;
  sockets: number;
  subscriptions: number;
  requests: number;
  answers: number;
  batches: number;
  unacked: number;
  pending: number;
  heapBytes: number;
  /** WebSockets that are not closed, as JavaScript sees it. */
  webSockets: number;
}

// From how many bytes on, for each payload on average, each is copied by itself.
const largeBytes = 8 << 10;

const none = new Uint8Array(0);

/** What is to be done after an export: the lower bits of what `after` of wasm/exports.go returns. */
export const After = { resume: 0, nothing: 1, take: 2 } as const;

// How long, and how many times it is entered, Go may go without being resumed when it has nothing to do.
const restMs = 5000;
const restMost = 32;

/**
 * One instance of the Go module, shared by all hubs of a page.
 *
 * Go runs only inside {@link enter} (and when a timer or a promise of its own wakes it), each
 * time until every goroutine waits, or no goroutine has anything to do because of it. Then what it has for the hubs is copied, and when no Go
 * frame is left on the stack the hubs get it: user code never runs inside Go.
 */
export class Runtime {
  #go: Go;
  #exports!: Exports;
  #bytes = none;
  #words = new Uint32Array(0);
  #arena = new Arena();
  #calls = 0; // that have returned what is to be done now
  #depth = 0;
  #draining = false;
  #inbox: { hub: number; rows: Rows }[] = [];
  #clients = new Map<number, Client>();
  #ids = new Ids((id) => this.#clients.has(id));
  #clock: GoClock;
  #timers: GoTimers;
  #sockets: Sockets;
  #rested = 0; // times that Go was entered without being resumed
  #resting: number | ReturnType<typeof setTimeout> | undefined;
  #crash: KinopioError | undefined;
  #lines: string[] = [];

  private constructor() {
    const fs = makeFileSystem((line) => {
      // Of a panic the first lines say what, and the last ones where.
      if (this.#lines.length >= 40) this.#lines.splice(20, 1);
      this.#lines.push(line);
    });
    this.#go = new (loadGo(makeScope(fs), fs))();
    this.#clock = new GoClock(this.#go);
    this.#timers = new GoTimers(this.#go);
    answerQuickly(this.#go);
    this.#sockets = new Sockets(this, (hub) => this.#clients.get(hub));
    this.#go.importObject["kinopio"] = this.#sockets.imports();
    const resume = this.#go._resume.bind(this.#go);
    // Whoever resumes Go (we, a timer, a promise that Go waits for) comes through here.
    this.#go._resume = () => this.#run(resume);
    this.#go.exit = (code) => this.#exited(code);
  }

  /** Instantiates the module and starts Go. */
  static async start(module: WebAssembly.Module): Promise<Runtime> {
    const runtime = new Runtime();
    const instance = await WebAssembly.instantiate(module, runtime.#go.importObject);
    runtime.#exports = instance.exports as unknown as Exports;
    if (typeof runtime.#exports.kinopio_take !== "function") {
      throw new KinopioError("WASM_LOAD_FAILED", "the .wasm is not the one of this package: it lacks the export kinopio_take");
    }
    runtime.#run(() => void runtime.#go.run(instance));
    return runtime;
  }

  /** Why the module has ended, if it has. */
  get crash(): KinopioError | undefined {
    return this.#crash;
  }

  /** Go's memory. It holds until the next export or import: Go may let it grow. */
  get memory(): Uint8Array<ArrayBuffer> {
    if (this.#bytes.length === 0) this.#bytes = new Uint8Array(this.#exports.mem.buffer as ArrayBuffer); // it has grown
    return this.#bytes;
  }

  /** The same in words of 32 bits. */
  get words(): Uint32Array<ArrayBuffer> {
    if (this.#words.length === 0) this.#words = new Uint32Array(this.#exports.mem.buffer as ArrayBuffer);
    return this.#words;
  }

  /** Adds a hub and returns its number. */
  attach(client: Client): number {
    const hub = this.#ids.next();
    this.#clients.set(hub, client);
    this.#timers.ref(true);
    return hub;
  }

  /**
   * Hands a batch of ops to a hub; `tail` are its last bytes, if they are not in it. With `more`
   * what it sends may wait for the next batch, which follows soon.
   */
  call(hub: number, batch: Uint8Array, tail: Uint8Array = none, more = false): void {
    this.enter((go) => {
      const length = (batch.length + tail.length + 3) & ~3;
      const at = go.kinopio_buffer(length) >>> 0; // first: it may replace this.memory
      this.memory.set(batch, at);
      if (tail.length > 0) this.memory.set(tail, at + batch.length);
      return this.after(go.kinopio_call(hub, length, +more));
    });
  }

  /** Ends a hub; its last row is Row.closed. */
  dispose(hub: number): void {
    this.enter((go) => go.kinopio_dispose(hub));
  }

  /** Resolves when the WebSockets of a disposed hub are closed, or their peers have had time enough. */
  socketsClosed(hub: number): Promise<void> {
    return this.#sockets.closed(hub);
  }

  /** Asks for a hub's status and hands it over before it returns, if Go is not running. */
  refresh(hub: number): void {
    if (this.#depth > 0 || this.#crash) return;
    const known = this.#inbox.length; // what was there before tells nothing new
    this.enter((go) => go.kinopio_refresh(hub));
    for (const entry of this.#inbox.slice(known)) {
      if (entry.hub !== hub) continue;
      for (let i = 0; i < entry.rows.length; i++) {
        if (entry.rows.kind(i) === Row.state && entry.rows.aux(i) === 0) this.#clients.get(hub)?.refreshed(entry.rows, i);
      }
    }
  }

  /** What is alive in the module. */
  alive(): Alive {
    const at = this.#exports.kinopio_debug() >>> 0;
    const [address, length] = this.words.subarray(at >>> 2) as unknown as [number, number];
    const text = new TextDecoder().decode(this.memory.subarray(address, address + length));
    return { ...JSON.parse(text), webSockets: this.#sockets.open };
  }

  /**
   * Calls exports, lets Go run until it rests, and hands over what it had to say. `use` returns
   * what {@link after} did, if an export said what is to be done now.
   */
  enter(use: (go: Exports) => number | undefined | void): void {
    if (this.#crash) return;
    if (this.#depth > 0) {
      // Called from an import, below which Go frames wait: afterwards, then.
      queueMicrotask(() => this.enter(use));
      return;
    }
    let after: number | undefined | void;
    this.#depth++;
    this.#clock.entered();
    try {
      after = use(this.#exports);
    } catch (cause) {
      this.#exited(2, cause);
    } finally {
      this.#depth--;
    }
    if (this.#crash) return;
    if (!after || !this.#rest()) this.#go._resume();
    else if (after === After.take) this.#handOver();
  }

  /** What an export says is to be done now. It returns too early, with anything, if it has to wait, which it must not. */
  after(returned: number): number {
    this.#calls = (this.#calls + 1) & 0x3fffffff;
    if (returned >>> 2 !== this.#calls) throw new Error("an export of the module has waited");
    return returned & 3;
  }

  /**
   * Whether Go, which has nothing to do, may go without being resumed. It may have garbage to
   * collect, which it does when it is resumed the next time.
   */
  #rest(): boolean {
    if (++this.#rested > restMost || this.#timers.overdue) return false;
    if (this.#resting === undefined) {
      this.#resting = setTimeout(() => {
        this.#resting = undefined;
        if (this.#rested > 0) this.#go._resume();
      }, restMs);
      (this.#resting as { unref?(): void }).unref?.();
    }
    return true;
  }

  #run(resume: () => void): void {
    if (this.#crash) return;
    this.#rested = 0;
    this.#depth++;
    this.#clock.entered();
    try {
      resume();
    } catch (cause) {
      this.#exited(2, cause);
    } finally {
      this.#depth--;
    }
    if (this.#depth === 0) this.#handOver();
  }

  #handOver(): void {
    if (!this.#crash) this.#take();
    this.#drain();
  }

  /** Copies what Go has for the hubs. */
  #take(): void {
    for (;;) {
      const at = this.#exports.kinopio_take() >>> 0;
      if (at === 0) return;
      const words = this.words;
      const taken = at >>> 2;
      const count = words[taken + 1]!;
      if (count > 0) {
        const table = this.#arena.words(words, words[taken + 2]! >>> 2, count * rowWords);
        const [address, length] = [words[taken + 3]!, words[taken + 4]!];
        const data = length >= count * largeBytes ? copyPayloads(table, this.memory, address) : this.#copyOf(address, length);
        this.#inbox.push({ hub: words[taken]!, rows: new Rows(table, data, this.#copyOf(words[taken + 5]!, words[taken + 6]!)) });
      }
      if (words[taken + 7] === 0) return;
    }
  }

  #copyOf(address: number, length: number): Uint8Array {
    return length === 0 ? none : this.#arena.bytes(this.memory, address, length);
  }

  #drain(): void {
    if (this.#draining) return; // an outer call goes on with it
    this.#draining = true;
    try {
      for (let i = 0; i < this.#inbox.length; i++) {
        const { hub, rows } = this.#inbox[i]!;
        this.#clients.get(hub)?.receive(rows);
        if (rows.kind(rows.length - 1) === Row.closed) this.#detach(hub);
      }
    } finally {
      this.#inbox = [];
      this.#draining = false;
    }
  }

  #detach(hub: number): void {
    this.#clients.delete(hub);
    if (this.#clients.size === 0) this.#timers.ref(false);
  }

  #exited(code: number, cause?: unknown): void {
    if (this.#crash) return;
    const lines = this.#lines.join("\n");
    this.#crash = new KinopioError("WASM_CRASHED", `the module has ended with code ${code}${lines && `:\n${lines}`}`, { cause });
    this.#timers.stop();
    clearTimeout(this.#resting);
    this.#sockets.closeAll();
    const clients = [...this.#clients.values()];
    this.#clients.clear();
    queueMicrotask(() => clients.forEach((client) => client.crashed(this.#crash!)));
  }
}
