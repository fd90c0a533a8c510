import { HubCore } from "./core.js";
import { defer } from "./deferred.js";
import { KinopioError, messageOf } from "./errors.js";
import { Observers } from "./observers.js";
import { discoveryLacks, toConfig, type KinopioOptions } from "./options.js";
import { shownAs } from "./detach.js";
import { withChildren } from "./properties.js";
import { tend } from "./tended.js";
import { Views } from "./views.js";
import { makeScope, type Scope } from "./scope.js";
import type { Scopes } from "./schema.js";
import type { Weakly } from "./weakly.js";
import { Session, type DiscoveryStatus, type Health, type HubState, type HubStatus, type Missing, type Move } from "./session.js";

/** The event that tells of a change of state, for `hub.on` and `hub.event.on`. */
export const KINOPIO_STATE_EVENT = "kinopio.state";

/** What `hub.event` offers. */
export interface HubEvents {
  on(event: typeof KINOPIO_STATE_EVENT, listener: (state: HubState) => void): () => void;
  off(event: typeof KINOPIO_STATE_EVENT, listener: (state: HubState) => void): void;
}

/** Methods whose promises may be forgotten. */
const forgettable = /* @__PURE__ */ new Set(["connected", "connect", "reconnect", "flush", "requestLocalNetwork"]);

// Kept under a symbol, because methods run on the proxy, where private fields cannot be reached.
const inner = Symbol("kinopio-hub");

interface Inner {
  core: HubCore;
  session: Session;
  scopes: Weakly<Scope>;
  states: Observers<HubState>;
  moves: Observers<Move>;
  missings: Observers<Missing>;
  discoveries: Observers<DiscoveryStatus>;
  errors: Observers<KinopioError>;
  healths: Observers<Health>;
  log: (level: "debug" | "info" | "warn" | "error", line: string) => void;
  end: (error: KinopioError) => void;
  disposing?: Promise<void>;
}

/** What hubs have by themselves; every other property is a scope. */
export class HubBase {
  /** @internal */
  declare readonly [inner]: Inner;

  /**
   * A hub that can be used at once: what needs the module or a connection waits for it.
   *
   * @throws KinopioError INVALID_CONFIG: the option, its value, and what would be right
   */
  constructor(options: KinopioOptions = {}) {
    const config = toConfig(options);
    const log = logger(options.debug);
    const states = new Observers<HubState>();
    const moves = new Observers<Move>();
    const missings = new Observers<Missing>();
    const discoveries = new Observers<DiscoveryStatus>();
    const errors = new Observers<KinopioError>();
    const healths = new Observers<Health>();
    const ended = defer<never>();
    const complaints = new Set<string>();
    const complain = (error: KinopioError) => {
      // Nobody listens: once a kind it is on the console, with where it was thrown.
      const kind = `${error.code} ${error.message}`;
      if (complaints.has(kind) || complaints.size >= 20) return;
      complaints.add(kind);
      console.error(`[kinopio-hub] ${error.code}: ${error.message}; hub.onError(…) hears of it`, error.cause ?? error);
    };
    const failed = (thrown: unknown) => report(new KinopioError("CALLBACK_FAILED", `an observer threw: ${messageOf(thrown)}`, { cause: thrown }));
    const report = (error: KinopioError) => {
      log("warn", `${error.code}: ${error.message}`);
      if (errors.size === 0 && !options.debug) complain(error);
      errors.tell(error, (thrown) => log("error", `an observer of errors threw: ${messageOf(thrown)}`));
    };
    const session = new Session(
      {
        config,
        codec: options.codec,
        jsonReplacer: options.jsonReplacer,
        jsonReviver: options.jsonReviver,
        source: { wasmUrl: options.wasmUrl, wasmModule: options.wasmModule },
        WebSocket: options.WebSocket,
        pendingLimit: options.pendingLimitBytes ?? 8 << 20,
        authenticator: options.authenticator,
        timeout: options.timeout ?? 3000,
        retry: retryOf(options),
        noDiscovery: discoveryLacks(options),
      },
      {
        state: (state) => {
          log("debug", `state: ${state}`);
          states.tell(state, failed);
          views.tell("state", state);
          views.tell("status", null);
          if (session.dead) this[inner].end(session.dead);
        },
        move: (move) => moves.tell(move, failed),
        missing: (missing) => missings.tell(missing, failed),
        denied: (subject) => core.denied(subject),
        link: (on) => core.linked(on),
        health: (health) => healths.tell(health, failed),
        discovery: (status) => {
          discoveries.tell(status, failed);
          views.tell("discoveryStatus", status);
        },
        error: report,
        log,
      },
    );
    const views = new Views(() => {});
    const core = new HubCore(session, options.timeout ?? 3000, options.noEcho ?? false, options.linger ?? 5000, options.readLinger ?? 120_000, ended.promise, report);
    const end = (error: KinopioError) => {
      ended.reject(error);
      core.end(error);
    };
    const value: Inner = { core, session, scopes: core.names(), states, moves, missings, discoveries, errors, healths, log, end };
    Object.defineProperty(this, inner, { value });
    shownAs(this, "KinopioHub", () => this.toJSON());
    return withChildren(this, (name) => this.getScope(name), "hub", {
      isThis: "whole",
      by: "getScope",
      views,
      wrap: (name, method) => (forgettable.has(name) ? (...given: unknown[]) => tend(method(...given), report) : method),
    });
  }

  /**
   * The scope of that name, always the same object.
   * @throws KinopioError INVALID_NAME
   */
  getScope(name: string): Scope {
    const { scopes, core } = this[inner];
    return scopes.get(name, () => makeScope(core, name));
  }

  /** Where the hub stands: "disconnected", "connecting", "connected" or "error". */
  get state(): HubState {
    return this[inner].session.state;
  }

  /** What the hub knows of itself right now. */
  get status(): HubStatus {
    return this[inner].session.status;
  }

  /** How the search for the leaf on the LAN goes, right now. */
  get discoveryStatus(): DiscoveryStatus {
    return this[inner].session.discovery;
  }

  /**
   * Looks for the leaf now, and lets the browser ask its user for the local network where it
   * wants to. Call it when the user has clicked something that says so. Resolves with what came
   * of it, after a minute at the latest once the hub is connected.
   *
   * @throws KinopioError INVALID_CONFIG without discovery, DISPOSED
   */
  async requestLocalNetwork(): Promise<DiscoveryStatus> {
    const { session } = this[inner];
    if (session.lacks) throw session.lacks;
    await session.command("localNetwork");
    return this.discoveryStatus;
  }

  /**
   * Resolves when messages flow. A rejection with TIMEOUT ends only the waiting: the hub goes on trying.
   *
   * @param timeoutMs milliseconds; 0: no bound
   * @throws KinopioError the reason why the hub gave up, TIMEOUT, DISCONNECTED, DISPOSED
   */
  connected(timeoutMs = 10_000): Promise<void> {
    return this[inner].session.command("connected", timeoutMs).catch((error) => notYet(error, timeoutMs));
  }

  /** Begins to connect, where `autoConnect` is false or the hub gave up; resolves when connected. */
  async connect(timeoutMs = 10_000): Promise<void> {
    const { session } = this[inner];
    await session.command("connect", timeoutMs);
    await session.command("connected", timeoutMs).catch((error) => notYet(error, timeoutMs));
  }

  /** Makes a fresh connection; subscriptions and services stay. */
  reconnect(timeoutMs = 10_000): Promise<void> {
    return this[inner].session.command("reconnect", timeoutMs);
  }

  /**
   * Resolves when the server has everything that was published before.
   *
   * @param timeoutMs milliseconds; default: the option `timeout`
   */
  flush(timeoutMs?: number): Promise<void> {
    return this[inner].session.command("flush", timeoutMs ?? this[inner].core.timeout);
  }

  /**
   * Ends the hub. What waits rejects with DISPOSED at once, no callback begins any more;
   * resolves when every connection and timer is gone. May be called any number of times.
   */
  dispose(): Promise<void> {
    const it = this[inner];
    if (!it.disposing) {
      it.core.farewell();
      it.disposing = it.session.dispose();
      if (it.session.dead) it.end(it.session.dead);
    }
    return it.disposing;
  }

  /** Calls back with each new state. @returns what ends it */
  onStateChange(callback: (state: HubState) => void): () => void {
    return this[inner].states.add(callback);
  }

  /** Ends what {@link onStateChange} began. */
  offStateChange(callback: (state: HubState) => void): void {
    this[inner].states.remove(callback);
  }

  /** Calls back with each change of server, also the first, and those that failed. @returns what ends it */
  onMove(callback: (move: Move) => void): () => void {
    return this[inner].moves.add(callback);
  }

  /**
   * Calls back with messages that did not come and will not; what gets lost with a connection is first
   * asked for, for the option `repair.waitMs`. @returns what ends it
   */
  onMissing(callback: (missing: Missing) => void): () => void {
    return this[inner].missings.add(callback);
  }

  /** Calls back with each new {@link discoveryStatus}. @returns what ends it */
  onDiscovery(callback: (status: DiscoveryStatus) => void): () => void {
    return this[inner].discoveries.add(callback);
  }

  /** Calls back with errors that have no promise to reject. @returns what ends it */
  onError(callback: (error: KinopioError) => void): () => void {
    return this[inner].errors.add(callback);
  }

  /** Calls back every `healthReport` milliseconds with what the hub knows of itself. @returns what ends it */
  onHealth(callback: (health: Health) => void): () => void {
    const { healths, session } = this[inner];
    if (healths.size === 0) session.command("health").catch(() => {}); // fails with the hub, which then has no health
    return healths.add(callback);
  }

  /** Calls back with each event; {@link KINOPIO_STATE_EVENT} is the one there is. @returns what ends it */
  on(event: typeof KINOPIO_STATE_EVENT, listener: (state: HubState) => void): () => void {
    checkEvent(event);
    return this.onStateChange(listener);
  }

  /** Ends what {@link on} began. */
  off(event: typeof KINOPIO_STATE_EVENT, listener: (state: HubState) => void): void {
    checkEvent(event);
    this.offStateChange(listener);
  }

  /** The same as {@link on} and {@link off}. */
  get event(): HubEvents {
    return {
      on: (event, listener) => this.on(event, listener),
      off: (event, listener) => this.off(event, listener),
    };
  }

  /** `JSON.stringify(hub)` */
  toJSON(): { state: HubState; server: string } {
    const { state, server } = this.status;
    return { state, server };
  }
}

/**
 * Remote variables and functions, used as if they were local: `hub.robot.battery` is
 * `hub.getScope("robot").getVariable("battery")`. With a schema, `KinopioHub<{ robot: { battery: number; move: (to:
 * Point) => boolean } }>`, its scopes, variables and functions have types.
 */
export type KinopioHub<S = unknown> = (unknown extends S ? HubBase : Omit<HubBase, "getScope">) & Scopes<S, keyof HubBase>;

/** Makes hubs. */
export const KinopioHub = HubBase as unknown as { new <S = unknown>(options?: KinopioOptions): KinopioHub<S>; readonly prototype: any };

function notYet(error: KinopioError, ms: number): never {
  if (error.code !== "TIMEOUT") throw error;
  throw new KinopioError("TIMEOUT", `not connected in ${ms} ms; the hub goes on trying, and connected(0) waits without a bound: ${error.message}`, { cause: error });
}

/** How a module that cannot be loaded is tried again, as servers are: with full jitter. */
function retryOf(options: KinopioOptions): ((round: number) => number) | undefined {
  const { autoRetry, waitOnFirstConnect, retryDelay = 1000, retryBackoffFactor = 1.5, maxRetryDelay = 30_000, reconnectTimeWait = 500 } = options;
  if (autoRetry === false || waitOnFirstConnect === false) return undefined;
  return (round) => Math.max(Math.random() * Math.min(retryDelay * retryBackoffFactor ** round, maxRetryDelay), Math.min(reconnectTimeWait, maxRetryDelay));
}

function checkEvent(event: string): void {
  if (event !== KINOPIO_STATE_EVENT) {
    throw new KinopioError("INVALID_CONFIG", `unknown event ${JSON.stringify(event)}: want ${JSON.stringify(KINOPIO_STATE_EVENT)}`);
  }
}

function logger(debug: KinopioOptions["debug"]): Inner["log"] {
  if (typeof debug === "function") {
    return (level, line) => {
      try {
        debug(`${level} ${line}`);
      } catch {
        // a logger that throws is its owner's affair
      }
    };
  }
  if (debug) return (level, line) => console[level](`[kinopio-hub] ${line}`);
  return (level, line) => {
    if (level === "warn" && /demo servers|no local network/.test(line)) console.warn(`[kinopio-hub] ${line}`);
  };
}
