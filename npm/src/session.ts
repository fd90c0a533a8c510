import { Ids } from "./ids.js";
import { toAuthConfig, type Authenticator } from "./auth.js";
import type { Coding, Payload } from "./codec.js";
import { defer, type Deferred } from "./deferred.js";
import { KinopioError, messageOf } from "./errors.js";
import { loadRuntime, mayPass, platformWebSocket, type WasmSource } from "./load.js";
import { Command, mayCancel, Op, OpWriter, SubscribeFlag } from "./ops.js";
import type { HubConfig } from "./options.js";
import { Row, type Rows } from "./rows.js";
import type { Client, Runtime } from "./runtime.js";
import { isNode, wsPackage } from "./node.js";
import type { RootedWebSocketClass, WebSocketClass } from "./sockets.js";
import { tend, Tended } from "./tended.js";

/** Where a hub stands between its program and the servers. */
export type HubState = "disconnected" | "connecting" | "connected" | "error";

/** What a hub knows of itself at a moment. */
export interface HubStatus {
  state: HubState;
  /** The server's URL without credentials, "" without a connection. */
  server: string;
  /** How the server became known: "configured" or "leaf"; "" without a connection. */
  via: string;
  /** Round trip when the connection was made, in milliseconds. */
  rttMs: number;
  /** The largest message that the server takes, in bytes; 0 without a connection. */
  maxPayload: number;
  /** The server of the second connection, with `standby`; "" without one. */
  standby: string;
  /** Planned changes of server that were made. */
  moves: number;
  /** Connections after a loss. */
  reconnects: number;
  /** Subscriptions on the wire. */
  subscriptions: number;
  /** Bytes that wait for a connection. */
  pendingBytes: number;
  /** The server is not one system with the configured ones: who is there is not heard here. */
  isolated: boolean;
  /** How many messages did not come to subscriptions and will not, as `onMissing` tells. */
  missing: number;
  /** How many streams of messages (a publisher's on one subject) wait for one that is missing and was asked for. */
  repairing: number;
  /**
   * Where the move that is being made stands: "connect": connecting to the new server; "join": subscribing
   * there, too; "leave": unsubscribing from the old one. "" at rest.
   */
  phase: "" | "connect" | "join" | "leave";
  /** Why the last attempt to connect or move failed. */
  lastError: KinopioError | null;
}

/** How the search for the leaf on the LAN goes. */
export interface DiscoveryStatus {
  /**
   * - `idle`: not looking: turned off, or not yet connected
   * - `permission-needed`: the browser would ask its user: call `hub.requestLocalNetwork()` from a click
   * - `permission-denied`: the browser refuses the local network to this page
   * - `probing`: looking, and nothing is known yet
   * - `no-leader`: the manifest's place answers, and names no usable leaf
   * - `untrusted-or-unreachable`: a browser does not say which
   * - `switching`: on the way to the leaf
   * - `local`: on the leaf
   * - `isolated`: on the leaf, which is not one system with the configured servers
   */
  state:
    | "idle" | "permission-needed" | "permission-denied" | "probing" | "no-leader"
    | "untrusted-or-unreachable" | "switching" | "local" | "isolated";
  /** In words for a developer; "" if there is nothing to add. */
  detail: string;
}

/** A change of server, or the failure of one. */
export interface Move {
  /** URLs without credentials; `from` is "" for the first connection. */
  from: string;
  to: string;
  /** How `to` became known: "configured" or "leaf". */
  via: string;
  /** Such as "connect", "leaf found", "leaf lost", "leaf cut off", "server leaving", "requested", "faster", "earlier in the list". */
  reason: string;
  /** The old connection was alive: nothing was lost, repeated or reordered. */
  planned: boolean;
  /** How far it came: as in the status, or "done"; "" for a connection where there was none. */
  phase: "" | "connect" | "join" | "leave" | "done";
  /** The whole change, and the part of it in which messages were held back, in milliseconds. */
  tookMs: number;
  heldMs: number;
  /** How long a message took from the one server's connection to the other's, at most, in milliseconds. */
  tripMs: number;
  /** The part of it in which both servers had the hub's subscriptions, in milliseconds. */
  overlapMs: number;
  /** The two servers are not one system: what others publish on the one is not heard on the other. */
  isolated: boolean;
  /** Why the hub stayed where it was. */
  error: KinopioError | null;
}

/**
 * Messages that did not come and will not: their publisher is gone, has not kept them, or could not be
 * asked in time. They are for subscriptions of this hub on `subject`.
 */
export interface Missing {
  subject: string;
  /** Who published them: 7 digits, of one hub for as long as it lives. */
  publisher: string;
  /** The first and the last of their numbers, which a publisher counts from 1 on each subject. */
  from: number;
  to: number;
}

/** What a hub reports of itself at the interval of the option `healthReport`. Counts are since it was made. */
export interface Health {
  state: HubState;
  /** The server's URL without credentials, "" without a connection. */
  server: string;
  /** Round trip, measured for this report, in milliseconds. */
  rttMs: number;
  /** Connections after a loss. */
  reconnects: number;
  /** Planned changes of server that were made. */
  moves: number;
  /** The same as `moves`. */
  switches: number;
  inMessages: number;
  outMessages: number;
  /** Bytes of payloads. */
  inBytes: number;
  outBytes: number;
  /** Subscriptions on the wire. */
  subscriptions: number;
  /** Bytes that wait for a connection. */
  pendingBytes: number;
  /** The same as `pendingBytes`. */
  pending: number;
}

/** What a session tells its hub. */
export interface Listener {
  health(health: Health): void;
  state(state: HubState): void;
  move(move: Move): void;
  missing(missing: Missing): void;
  /** The server does not permit what was published on a subject. */
  denied(subject: string): void;
  /** There is a connection after there was none, or to another system; or there is none. */
  link(on: boolean): void;
  discovery(status: DiscoveryStatus): void;
  error(error: KinopioError): void;
  log(level: "debug" | "info" | "warn" | "error", line: string): void;
}

/** Is told what becomes of what it publishes. */
export interface Sender {
  /** It is about to be handed over with a batch. */
  sent(batch: number, data: Payload): void;
  /** A connection has everything of a batch, or nothing of it goes out. */
  settled(batch: number, ok: boolean): void;
}

/** Takes a subscription's messages: row `row` of `rows`. */
export type Sink = (rows: Rows, row: number) => void;

/** An answer to a request. */
export interface Reply {
  rows: Rows;
  row: number;
}

/** How a session is set up. */
export interface Setup extends Coding {
  config: HubConfig;
  source: WasmSource;
  WebSocket?: WebSocketClass;
  pendingLimit: number;
  authenticator?: Authenticator;
  /** Bounds what waits for the module, in milliseconds. */
  timeout: number;
  /** How long to wait after each round (from 0) in which the module could not be loaded; unset: the first is the last. */
  retry?: (round: number) => number;
  /** Why discovery is off although it was asked for. */
  noDiscovery?: string;
}

const flushAt = 32 << 10; // bytes of ops that are handed over without waiting for the microtask
const large = 32 << 10; // characters or bytes from which a message travels in a batch of its own

const subjectsKept = 4096; // that are known to the module by their numbers

/** What waits for the module, as ops from `start` to `end`, and what to do when it is `due`. */
interface Early {
  start: number;
  end: number;
  due: number;
  late: (error: KinopioError) => void;
}

/** Messages that are sent together, all or none. */
interface Batch extends Deferred<void> {
  id: number;
  at: number; // position of its count
  count: number;
  bytes: number;
  senders: Sender[];
}

/**
 * One hub's side of the bridge: turns calls into ops, and rows into settled promises and
 * calls of sinks. Ops wait here until the module has been loaded.
 */
export class Session implements Client {
  WebSocket!: WebSocketClass;
  Rooted?: RootedWebSocketClass;
  readonly coding: Coding;
  #setup: Setup;
  #early: Early[] = [];
  #earlyTimer: ReturnType<typeof setTimeout> | undefined;
  #earlyDue = Infinity; // the first of them
  #wake = () => {}; // from the wait for the next attempt to load the module
  #listener: Listener;
  #runtime: Runtime | undefined;
  #hub = 0;
  #ops = new OpWriter();
  #scheduled = false;
  #owes = false; // what was handed over may wait for a flush
  #dead: KinopioError | undefined;
  #ended = defer<void>();
  #status: HubStatus;
  #discovery: DiscoveryStatus = { state: "idle", detail: "" };
  #subjects = new Map<string, number>();
  #ids = new Ids((id) => this.#sinks.has(id) || this.#readies.has(id) || this.#requests.has(id) || this.#commands.has(id));
  #batchIds = new Ids((id) => this.#batches.has(id)); // apart, so that acks come in runs
  #batch: Batch | undefined;
  #batches = new Map<number, Batch>();
  #unsettled = 0; // bytes
  #sinks = new Map<number, Sink>();
  #readies = new Map<number, Deferred<void>>();
  #requests = new Map<number, Deferred<Reply>>();
  #commands = new Map<number, Deferred<void>>();

  constructor(setup: Setup, listener: Listener) {
    this.#setup = setup;
    this.coding = setup;
    this.#listener = listener;
    this.#status = {
      state: setup.config.manualConnect ? "disconnected" : "connecting",
      server: "", via: "", rttMs: 0, maxPayload: 0, standby: "", moves: 0, reconnects: 0,
      subscriptions: 0, pendingBytes: 0, isolated: false, missing: 0, repairing: 0, phase: "", lastError: null,
    };
    this.#ops.word(Op.open);
    this.#ops.text(JSON.stringify(setup.config));
    const { lacks } = this;
    if (lacks) queueMicrotask(() => listener.error(lacks));
    void this.#load();
  }

  /** Why discovery is off, although it was asked for. */
  get lacks(): KinopioError | undefined {
    const { noDiscovery } = this.#setup;
    return noDiscovery === undefined ? undefined : new KinopioError("INVALID_CONFIG", `invalid configuration: ${noDiscovery}`);
  }

  /** Whether there is a connection. */
  linked = false;

  /** Bytes of set values that wait to be sent. */
  keptBytes = 0;

  /** Bytes that may wait. */
  get pendingLimit(): number {
    return this.#setup.pendingLimit;
  }

  /** Connections that were lost, so that what was on its way may never arrive. */
  losses = 0;

  get state(): HubState {
    return this.#status.state;
  }

  /** Why nothing works any more, if so. */
  get dead(): KinopioError | undefined {
    return this.#dead;
  }

  get status(): HubStatus {
    if (this.#runtime && !this.#dead) this.#runtime.refresh(this.#hub);
    return { ...this.#status, pendingBytes: this.#status.pendingBytes + this.keptBytes };
  }

  get discovery(): DiscoveryStatus {
    void this.status; // the latest
    const { noDiscovery } = this.#setup;
    return noDiscovery ? { state: "idle", detail: noDiscovery } : { ...this.#discovery };
  }

  /**
   * Sends a message; the promise is shared by all that travel together. Throws what is known
   * at once.
   */
  publish(subject: string, data: Payload, headers?: Uint8Array, reply = "", sender?: Sender): Promise<void> {
    if (this.#dead) throw this.#dead;
    const ref = this.#subject(subject);
    const alone = data.length >= large;
    const apart = alone && typeof data !== "string" && this.#runtime !== undefined;
    if (alone) this.#closeBatch();
    const batch = (this.#batch ??= this.#openBatch());
    const before = this.#ops.length;
    const size = this.#ops.message(ref, headers, reply, data, apart);
    const refused = this.#refuse(subject, size);
    if (refused) {
      this.#ops.length = before;
      throw refused;
    }
    batch.count++;
    batch.bytes += size;
    this.#unsettled += size;
    if (sender) {
      sender.sent(batch.id, data);
      if (batch.senders[batch.senders.length - 1] !== sender) batch.senders.push(sender);
    }
    if (alone) {
      this.#closeBatch();
      this.#flush(apart ? data : undefined, true);
    }
    this.#schedule();
    return batch.promise;
  }

  /** Is {@link publish} in a batch of its own, and rejects with what is known at once. */
  async publishApart(subject: string, data: Payload, headers?: Uint8Array): Promise<void> {
    this.#closeBatch();
    const sent = this.publish(subject, data, headers);
    this.#closeBatch();
    return sent;
  }

  /** An id in the order of those of batches, after all that was published before. */
  mark(): number {
    this.#closeBatch();
    return this.#batchIds.next();
  }

  /** Throws if the server does not take so many bytes of data and headers. */
  check(subject: string, size: number): void {
    const refused = this.#tooLarge(subject, size);
    if (refused) throw refused;
  }

  /** Hands over at once what was written. */
  hurry(): void {
    this.#flush();
  }

  /** Tells of what needs attention. */
  warn(line: string): void {
    this.#listener.log("warn", line);
  }

  /** The same promise, which may be forgotten. */
  tended<T>(promise: Promise<T>): Promise<T> {
    return tend(promise, this.#listener.error);
  }

  /** Answers a message; subject, headers and bytes as for publish. */
  respond(answer: number, data: Payload, headers?: Uint8Array): Promise<void> {
    if (this.#dead) return this.tended(Promise.reject(this.#dead));
    this.#closeBatch();
    const before = this.#ops.length;
    const batch = this.#newBatch();
    this.#ops.word(Op.respond);
    this.#ops.word(batch.id);
    this.#ops.word(answer);
    batch.bytes = this.#ops.message(0, headers, "", data);
    const refused = this.#tooLarge("an answer", batch.bytes);
    if (refused) {
      this.#ops.length = before;
      this.#batches.delete(batch.id);
      return this.tended(Promise.reject(refused));
    }
    this.#unsettled += batch.bytes;
    this.#schedule(data.length >= large);
    return batch.promise;
  }

  /**
   * Subscribes on the wire. `ready` resolves when the server has it.
   * @param max messages after which the server ends it; 0: none
   * @param arrival no message waits for one before it
   * @param control it is the hub's own: it counts for nobody, and is ready at once
   */
  subscribe(subject: string, sink: Sink, options: { queue?: string; max?: number; wildcard?: boolean; serve?: boolean; arrival?: boolean; control?: boolean } = {}): { id: number; ready: Promise<void> } {
    if (this.#dead) return { id: 0, ready: silent(Promise.reject(this.#dead)) };
    const id = this.#ids.next();
    const ready = defer<void>();
    silent(ready.promise);
    this.#sinks.set(id, sink);
    if (options.control) ready.resolve();
    else this.#readies.set(id, ready);
    const ref = this.#subject(subject);
    this.#closeBatch();
    this.#ops.word(Op.subscribe);
    this.#ops.word(id);
    this.#ops.word(ref);
    this.#ops.word(
      (options.control ? SubscribeFlag.control : SubscribeFlag.ready) | (options.wildcard ? SubscribeFlag.subject : 0) | (options.serve ? SubscribeFlag.serve : 0) | (options.arrival ? SubscribeFlag.arrival : 0),
    );
    this.#ops.word(options.max ?? 0);
    this.#ops.text(options.queue ?? "");
    this.#schedule();
    return { id, ready: ready.promise };
  }

  unsubscribe(id: number): void {
    if (!this.#sinks.delete(id)) return;
    this.#readies.get(id)?.resolve();
    this.#readies.delete(id);
    if (this.#dead) return;
    this.#closeBatch();
    this.#ops.word(Op.unsubscribe);
    this.#ops.word(id);
    this.#schedule();
  }

  /** Sends a request; `timeout` in milliseconds. Aborting rejects with the signal's reason. */
  request(subject: string, data: Payload, timeout: number, headers?: Uint8Array, signal?: AbortSignal): Promise<Reply> {
    if (this.#dead) return Promise.reject(this.#dead);
    if (signal?.aborted) return Promise.reject(signal.reason);
    const id = this.#ids.next();
    const waiting = defer<Reply>();
    const ref = this.#subject(subject);
    this.#closeBatch();
    const before = this.#ops.length;
    this.#ops.word(Op.request);
    this.#ops.word(id);
    this.#ops.word(Math.max(1, Math.min(timeout, 0x7fffffff)) + (signal ? mayCancel : 0));
    const size = this.#ops.message(ref, headers, "", data);
    const refused = this.#refuse(subject, size);
    if (refused) {
      this.#ops.length = before;
      return Promise.reject(refused);
    }
    this.#requests.set(id, waiting);
    this.#bound(before, timeout, (error) => this.#take(this.#requests, id)?.reject(error));
    this.#schedule(data.length >= large);
    if (signal) {
      const abort = () => {
        if (!this.#requests.delete(id)) return;
        waiting.reject(signal.reason);
        this.#closeBatch();
        this.#ops.word(Op.cancel);
        this.#ops.word(id);
        this.#schedule();
      };
      signal.addEventListener("abort", abort, { once: true });
      silent(waiting.promise.finally(() => signal.removeEventListener("abort", abort)));
    }
    return waiting.promise;
  }

  /**
   * Sends a request for several answers, which go to `sink`; resolves when no more are waited
   * for: after `window` milliseconds or `max` answers (0: no limit).
   */
  requestMany(subject: string, data: Payload, window: number, max: number, headers: Uint8Array | undefined, sink: Sink): Promise<void> {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = this.#ids.next();
    const ref = this.#subject(subject);
    this.#closeBatch();
    const before = this.#ops.length;
    this.#ops.word(Op.requestMany);
    this.#ops.word(id);
    this.#ops.word(Math.max(1, Math.min(window, 0x7fffffff)));
    this.#ops.word(max);
    const refused = this.#refuse(subject, this.#ops.message(ref, headers, "", data));
    if (refused) {
      this.#ops.length = before;
      return Promise.reject(refused);
    }
    this.#sinks.set(id, sink);
    this.#bound(before, window, (error) => this.#take(this.#commands, id)?.reject(error));
    return this.#done(id, data.length >= large).finally(() => this.#sinks.delete(id));
  }

  /** Ends a subscription when its sink has got all that the server had sent to it. */
  drain(subscription: number): Promise<void> {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = this.#ids.next();
    this.#closeBatch();
    this.#ops.word(Op.drain);
    this.#ops.word(id);
    this.#ops.word(subscription);
    return this.#done(id).finally(() => this.#sinks.delete(subscription));
  }

  /** Waits for the done row of an op that was just written. */
  #done(id: number, now = false): Promise<void> {
    const waiting = defer<void>();
    this.#commands.set(id, waiting);
    this.#schedule(now);
    return waiting.promise;
  }

  /** Runs a command of the hub; `timeout` in milliseconds, 0 for none. */
  command(command: keyof typeof Command, timeout = 0): Promise<void> {
    if (this.#dead) return Promise.reject(this.#dead);
    const id = this.#ids.next();
    this.#closeBatch();
    const before = this.#ops.length;
    this.#ops.word(Op.command);
    this.#ops.word(id);
    this.#ops.word(Command[command]);
    this.#ops.word(Math.min(timeout, 0x7fffffff));
    if (timeout > 0) this.#bound(before, timeout, (error) => this.#take(this.#commands, id)?.reject(error));
    return this.#done(id);
  }

  /** Ends the hub: what waits rejects at once; resolves when the module has let go of everything. */
  dispose(): Promise<void> {
    if (!this.#dead) {
      this.#end(new KinopioError("DISPOSED", "the hub was disposed"), "disconnected");
      if (this.#runtime) this.#runtime.dispose(this.#hub);
      else this.#ended.resolve();
    }
    return this.#ended.promise;
  }

  /** For {@link Runtime}: rows from Go. */
  receive(rows: Rows): void {
    for (let row = 0; row < rows.length; row++) {
      const kind = rows.kind(row);
      if (kind === Row.message) this.#sinks.get(rows.id(row))?.(rows, row);
      else this.#other(kind, rows, row);
    }
  }

  /** For {@link Runtime}: the status that was asked for. */
  refreshed(rows: Rows, row: number): void {
    this.#stateRow(rows, row);
  }

  /** For {@link Runtime}: the module has ended. */
  crashed(error: KinopioError): void {
    this.#ended.resolve();
    if (this.#dead) return;
    this.#end(error, "error");
    this.#listener.error(error);
  }

  async #load(): Promise<void> {
    let runtime: Runtime;
    for (let round = 0; ; round++) {
      try {
        const socketClass = this.#setup.WebSocket ?? platformWebSocket();
        const rooted = isNode && this.#setup.config.discovery && !this.#setup.WebSocket ? wsPackage().catch(() => undefined) : undefined;
        [runtime, this.WebSocket, this.Rooted] = await Promise.all([loadRuntime(this.#setup.source), socketClass, rooted]);
        break;
      } catch (thrown) {
        if (this.#dead) return;
        const error = thrown instanceof KinopioError ? thrown : new KinopioError("WASM_LOAD_FAILED", messageOf(thrown), { cause: thrown });
        const again = mayPass(error) ? this.#setup.retry?.(round) : undefined;
        if (again === undefined) {
          this.#ended.resolve();
          this.#end(error, "error");
          this.#listener.error(error);
          return;
        }
        const known = this.#status.lastError?.message === error.message;
        this.#status = { ...this.#status, lastError: error };
        if (!known) this.#listener.error(error);
        await this.#pause(again);
        if (this.#dead) return;
      }
    }
    if (this.#dead) return;
    this.#flush(); // closes what is open
    this.#unbound();
    this.#runtime = runtime;
    this.#hub = runtime.attach(this);
    this.#flush();
  }

  /** Resolves after `ms`, or sooner when the browser says that it is online. */
  async #pause(ms: number): Promise<void> {
    const page = globalThis as { addEventListener?: Function; removeEventListener?: Function };
    const woken = new Promise<void>((resolve) => (this.#wake = resolve));
    const timer = setTimeout(this.#wake, ms);
    const wake = this.#wake;
    try {
      page.addEventListener?.("online", wake);
    } catch {
      // then without
    }
    await woken;
    clearTimeout(timer);
    try {
      page.removeEventListener?.("online", wake);
    } catch {
      // it has nothing to do any more
    }
  }

  /**
   * Bounds what was written from `start` on while it waits for the module; Go bounds it from then on. What is
   * late is not sent.
   */
  #bound(start: number, ms: number, late: Early["late"]): void {
    if (this.#runtime) return;
    const due = performance.now() + ms;
    this.#early.push({ start, end: this.#ops.length, due, late });
    if (due < this.#earlyDue) this.#watchEarly();
  }

  #watchEarly(): void {
    clearTimeout(this.#earlyTimer);
    this.#earlyDue = this.#early.reduce((due, one) => Math.min(due, one.due), Infinity);
    if (this.#earlyDue === Infinity) return;
    this.#earlyTimer = setTimeout(() => this.#expire(), Math.min(Math.max(this.#earlyDue - performance.now(), 0) + 20, 0x7fffffff));
  }

  #expire(): void {
    const now = performance.now();
    const expired: Early[] = [];
    const kept: Early[] = [];
    let gone = 0; // bytes
    this.#closeBatch();
    for (const one of this.#early) {
      one.start -= gone;
      one.end -= gone;
      if (one.due > now) {
        kept.push(one);
        continue;
      }
      this.#ops.cut(one.start, one.end);
      gone += one.end - one.start;
      expired.push(one);
    }
    this.#early = kept;
    this.#watchEarly();
    const why = this.#status.lastError ?? new KinopioError("DISCONNECTED", "disconnected: the module is not loaded yet");
    for (const one of expired) one.late(why);
  }

  #unbound(): void {
    clearTimeout(this.#earlyTimer);
    this.#early = [];
  }

  #subject(subject: string): number {
    let ref = this.#subjects.get(subject);
    if (ref === undefined) {
      ref = this.#subjects.size + 1;
      if (ref > subjectsKept) {
        const [oldest] = this.#subjects.keys();
        ref = this.#subjects.get(oldest!)!; // is another subject's from here on
        this.#subjects.delete(oldest!);
      }
      this.#subjects.set(subject, ref);
      this.#closeBatch();
      this.#ops.word(Op.subject);
      this.#ops.word(ref);
      this.#ops.text(subject);
    }
    return ref;
  }

  /** Why a message of `size` bytes cannot be taken, as far as is known here; Go looks again. */
  #refuse(subject: string, size: number): KinopioError | undefined {
    const tooLarge = this.#tooLarge(subject, size);
    if (tooLarge) return tooLarge;
    if (this.#status.state !== "connected" && this.#unsettled + size > this.#setup.pendingLimit) {
      return new KinopioError("DISCONNECTED", `disconnected: ${this.#unsettled} bytes wait already; pendingLimitBytes is ${this.#setup.pendingLimit}`);
    }
    return undefined;
  }

  #tooLarge(subject: string, size: number): KinopioError | undefined {
    const most = this.#status.maxPayload;
    if (most === 0 || size <= most) return undefined;
    return new KinopioError("MESSAGE_TOO_LARGE", `message too large: ${size} bytes for ${subject}; the server takes ${most}`);
  }

  #newBatch(): Batch {
    const batch: Batch = { ...deferTended(this.#listener.error), id: this.#batchIds.next(), at: 0, count: 0, bytes: 0, senders: [] };
    this.#batches.set(batch.id, batch);
    return batch;
  }

  #openBatch(): Batch {
    const batch = this.#newBatch();
    this.#ops.word(Op.publish);
    this.#ops.word(batch.id);
    batch.at = this.#ops.length;
    this.#ops.word(0);
    return batch;
  }

  #closeBatch(): void {
    const batch = this.#batch;
    if (!batch) return;
    this.#batch = undefined;
    if (batch.count > 0) {
      this.#ops.patch(batch.at, batch.count);
      this.#bound(batch.at - 8, this.#setup.timeout, (error) => this.#settle(batch.id, error));
    } else {
      this.#ops.length = batch.at - 8; // its only message was refused
      this.#settle(batch.id);
    }
  }

  #settle(id: number, error?: KinopioError): void {
    const batch = this.#batches.get(id);
    if (!batch) return;
    this.#batches.delete(id);
    this.#unsettled -= batch.bytes;
    for (const sender of batch.senders) sender.settled(id, error === undefined);
    if (error) batch.reject(error);
    else batch.resolve();
  }

  #schedule(now = false): void {
    if (this.#runtime && !this.#owes && (now || this.#ops.length >= flushAt)) {
      this.#flush();
    } else if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.#flush();
      });
    }
  }

  /**
   * Hands over what was written; `tail` are the bytes of its last message, if they were left apart.
   * With `more` another flush follows.
   */
  #flush(tail?: Uint8Array, more = false): void {
    this.#closeBatch();
    if (!this.#runtime || this.#dead) return;
    if (this.#ops.length === 0 && !this.#owes) return;
    this.#owes = more;
    const ops = this.#ops;
    this.#runtime.call(this.#hub, ops.written, tail, more);
    ops.reset();
  }

  #other(kind: number, rows: Rows, row: number): void {
    const id = rows.id(row);
    switch (kind) {
      case Row.reply:
        this.#take(this.#requests, id)?.resolve({ rows, row });
        break;
      case Row.failed:
        this.#take(this.#requests, id)?.reject(rows.error(row, this.coding));
        break;
      case Row.ack:
        for (let i = 0; i < rows.aux(row); i++) this.#settle(id + i);
        break;
      case Row.ackFailed:
        this.#settle(id, rows.error(row, this.coding));
        break;
      case Row.ready:
        this.#take(this.#readies, id)?.resolve();
        break;
      case Row.refused:
        this.#take(this.#readies, id)?.reject(rows.error(row, this.coding));
        break;
      case Row.done:
        this.#doneRow(id, rows, row);
        break;
      case Row.state:
        this.#stateRow(rows, row);
        break;
      case Row.move: {
        const move = JSON.parse(rows.note(row));
        if (!move.planned && !move.error) this.losses++;
        this.#listener.move({ ...move, error: toError(move.error) });
        break;
      }
      case Row.missing:
        this.#listener.missing(JSON.parse(rows.note(row)));
        break;
      case Row.denied:
        this.#listener.denied(rows.note(row));
        break;
      case Row.discovery:
        this.#discovery = JSON.parse(rows.note(row));
        this.#listener.discovery({ ...this.#discovery });
        break;
      case Row.error:
        this.#listener.error(rows.error(row, this.coding));
        break;
      case Row.log:
        this.#listener.log(levelOf(rows.aux(row) - 8), rows.note(row));
        break;
      case Row.set:
        this.#sinks.get(id)?.(rows, row);
        break;
      case Row.link:
        this.linked = rows.aux(row) === 1;
        this.#listener.link(this.linked);
        break;
      case Row.health: {
        const health = JSON.parse(rows.note(row));
        const pending = health.pendingBytes + this.keptBytes;
        this.#listener.health({ ...health, pendingBytes: pending, pending });
        break;
      }
      case Row.ask:
        void this.#authenticate(id, rows.note(row));
        break;
      case Row.closed:
        void this.#runtime!.socketsClosed(this.#hub).then(this.#ended.resolve);
        break;
    }
  }

  /** Answers the module's question for credentials. */
  async #authenticate(id: number, server: string): Promise<void> {
    let answer: object;
    try {
      answer = toAuthConfig(await this.#setup.authenticator!(server));
    } catch (thrown) {
      answer = { error: messageOf(thrown) || "it threw" };
    }
    if (this.#dead) return;
    this.#closeBatch();
    this.#ops.word(Op.credentials);
    this.#ops.word(id);
    this.#ops.text(JSON.stringify(answer));
    this.#schedule();
  }

  #doneRow(id: number, rows: Rows, row: number): void {
    const error = rows.note(row) === "" ? undefined : rows.error(row, this.coding);
    if (id === 0 && error) {
      // The hub could not be opened.
      this.#end(error, "error");
      this.#runtime?.dispose(this.#hub);
      this.#listener.error(error);
      return;
    }
    const waiting = this.#take(this.#commands, id);
    if (error) waiting?.reject(error);
    else waiting?.resolve();
  }

  #stateRow(rows: Rows, row: number): void {
    if (this.#dead) return;
    const before = this.#status.state;
    const { discovery, ...status } = JSON.parse(rows.note(row));
    this.#discovery = discovery;
    this.#status = { ...status, lastError: toError(status.lastError) };
    const isChange = rows.aux(row) === 1;
    if (isChange && this.#status.state !== before) this.#listener.state(this.#status.state);
    else if (!isChange) this.#status.state = before; // the row of the change itself is on its way
  }

  #take<T>(map: Map<number, Deferred<T>>, id: number): Deferred<T> | undefined {
    const waiting = map.get(id);
    map.delete(id);
    return waiting;
  }

  #end(error: KinopioError, state: HubState): void {
    this.#dead = error;
    this.#batch = undefined;
    this.#unbound();
    this.#wake();
    const waiting = [...this.#batches.values(), ...this.#readies.values(), ...this.#requests.values(), ...this.#commands.values()];
    for (const map of [this.#batches, this.#readies, this.#requests, this.#commands, this.#sinks]) map.clear();
    this.#unsettled = 0;
    this.#discovery = { state: "idle", detail: "" };
    this.#ops.reset();
    for (const one of waiting) one.reject(error);
    const changed = this.#status.state !== state;
    this.#status = { ...this.#status, state, server: "", via: "", lastError: state === "error" ? error : this.#status.lastError };
    if (changed) this.#listener.state(state);
  }
}

function toError(error: { code: KinopioError["code"]; message: string } | null): KinopioError | null {
  return error && new KinopioError(error.code, error.message);
}

function levelOf(level: number): "debug" | "info" | "warn" | "error" {
  return level < 0 ? "debug" : level < 4 ? "info" : level < 8 ? "warn" : "error";
}

function deferTended(report: (error: KinopioError) => void): Deferred<void> {
  let resolve!: () => void;
  let reject!: (error: unknown) => void;
  const promise = new Tended<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise: promise.orReport(report), resolve, reject };
}

/** Keeps a promise that nobody may be waiting for from being reported as unhandled. */
function silent<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
