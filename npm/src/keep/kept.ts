import type { Payload } from "../codec.js";
import type { HubCore } from "../core.js";
import { defer, within, type Deferred } from "../deferred.js";
import { KinopioError } from "../errors.js";
import { tend } from "../tended.js";
import type { ValueRule } from "../value.js";
import { longestHeader, type Follower } from "./keeping.js";
import { Verdict, type VerdictOf } from "./machine.js";
import { before, unset, type Stamp } from "./version.js";

/** What a value is. */
export interface VariableMeta {
  /** There is a value: false before the first, and after delete. */
  exists: boolean;
  /** It is known whether there is one. */
  known: boolean;
  /**
   * The version of the value that was set last: of two, the one with the higher version is the later one, and of two
   * with the same version the one whose writer is greater. 0 and "" when nobody has set it, as far as is known.
   */
  version: number;
  writer: string;
  /** What this hub has set is still to be sent. */
  pending: boolean;
}

/** Options of set and delete. */
export interface SetOptions {
  /** Milliseconds after which the promise rejects, 0 for no bound; the value waits on. Default: the hub's option `timeout`. */
  timeout?: number;
}

/** What a variable lets its kept value do. */
export interface Kin {
  readonly core: HubCore;
  readonly subject: string;
  readonly rule: ValueRule;
  /** Whether the hub hears what it sends. */
  echoes(): boolean;
  /** Subscribes to the subject now. */
  listen(): void;
  /** Finds out whether echoes still come. */
  fence(): void;
  /** The value is as new as anybody's. */
  fresh(): void;
  /** What was set has gone, or will not. */
  settled(): void;
  /** Lets do something to the rule, and tells of what comes of it. */
  change(what: () => void): void;
}

/** What a variable has beside its value: hub/kept_variable.go is the same. */
export class KeptValue implements Follower {
  #kin: Kin;
  #follows = false;
  #known: Deferred<void> | undefined; // somebody waits until it is known
  #stamp: Stamp = unset;
  #waits = 0; // values that were set here and are still to be sent
  #unsure = false; // the value was set, and is still to be confirmed, as it has not been followed for a while
  #absent = new Set<() => void>(); // to be called when it is known that there is no value
  isKnown = false;
  /** The value is a message's that was published, and not set. */
  bare: boolean;

  constructor(kin: Kin) {
    this.#kin = kin;
    this.bare = kin.rule.now !== undefined;
  }

  get meta(): VariableMeta {
    const exists = this.#kin.rule.now !== undefined;
    const { counter, writer } = this.#stamp;
    return { exists, known: exists || this.isKnown, version: counter, writer, pending: this.#waits > 0 };
  }

  /** Begins to know what others have set before. */
  follow(): void {
    const { core, subject } = this.#kin;
    if (this.#follows || core.session.dead) return;
    this.#follows = true;
    core.keeping.follow(subject, this);
  }

  /** Whether the hub knows its value, or asks for it. */
  get follows(): boolean {
    return this.#follows;
  }

  /** How many values that were set here are still to be sent. */
  get waits(): number {
    return this.#waits;
  }

  /** Ends the following: what is known may be old from now on. */
  lapse(): void {
    this.#follows = false;
    this.#kin.core.keeping.unfollow(this.#kin.subject);
    this.#unsure ||= this.#stamp.counter > 0 && !this.bare;
    this.#stamp = unset;
    this.isKnown = this.bare = false;
    this.#known = undefined; // nobody waits: who does follows
  }

  #fresh(): void {
    this.#unsure = false;
    this.#kin.fresh();
  }

  /** Resolves when it is known whether there is a value. */
  get whenKnown(): Promise<void> {
    if (this.isKnown) return Promise.resolve();
    return (this.#known ??= defer()).promise;
  }

  /** Calls back, once, when it is known that there is no value, unless that is ended before. @returns what ends it */
  whenAbsent(callback: () => void): () => void {
    const once = () => void (this.#absent.delete(once) && callback());
    this.#absent.add(once);
    return () => void this.#absent.delete(once);
  }

  /** Makes data the value, or without data deletes it. */
  set(data: Payload | undefined, { timeout = this.#kin.core.timeout }: SetOptions = {}): Promise<void> {
    const { core, subject, rule } = this.#kin;
    if (core.session.dead) throw core.session.dead;
    if (!(Number.isFinite(timeout) && timeout >= 0)) {
      throw new KinopioError("INVALID_CONFIG", `set ${subject}: timeout = ${timeout}: want milliseconds, or 0 for no bound`);
    }
    const payload = data === undefined ? "" : typeof data === "string" ? data : data.slice();
    const size = core.keeping.check(subject, payload);
    core.session.check(subject, size + longestHeader);
    this.#kin.listen(); // so that it comes back
    const id = core.session.mark();
    this.#change(() => {
      rule.set(data === undefined ? undefined : payload, this.#kin.echoes(), id);
      this.#waits++;
      this.bare = false;
      this.#fresh();
      this.#knows();
    });
    const gone = new Promise<void>((resolve, reject) => {
      core.keeping.set(subject, payload, size, data === undefined, (error) => {
        this.#settled(id, error);
        if (error) reject(error);
        else resolve();
      });
    });
    let late: KinopioError | undefined;
    const tooLate = () => (late = new KinopioError("TIMEOUT", `timed out: set ${subject}: no connection had it in ${timeout} ms; the value waits on, and is sent when there is one`));
    return tend(timeout === 0 ? gone : within(gone, timeout, tooLate), (error) => {
      if (error !== late) core.report(error); // who forgets the promise lets the value wait
    });
  }

  /** Takes a set value that has come. @returns whether callbacks get it */
  heard(stamp: Stamp, data: Payload): boolean {
    const { core, subject } = this.#kin;
    const verdict = this.#follows ? core.keeping.heard(subject, stamp, data) : Verdict.unknown;
    this.#change(() => this.#place(verdict, stamp, stamp.deleted ? undefined : data));
    return !stamp.again || verdict === Verdict.newer || verdict === Verdict.unknown;
  }

  #place(verdict: VerdictOf, stamp: Stamp, data: Payload | undefined): void {
    const { rule } = this.#kin;
    this.#fresh();
    if (verdict === Verdict.newer) {
      this.#stamp = stamp;
      this.bare = false;
      this.#knows();
      rule.place(data);
    } else if (verdict === Verdict.unknown) {
      rule.place(data);
    } else if (verdict === Verdict.same) {
      this.#stamp = stamp;
      if (!stamp.again && rule.echoed(data)) this.#kin.fence();
    }
  }

  learned(stamp: Stamp, data: Payload, own: boolean, refused: boolean): void {
    this.#change(() => {
      this.#knows();
      if (this.#unsure && stamp.counter === 0 && !refused) {
        this.#kin.rule.place(undefined); // nobody keeps it any more
        this.#fresh();
      }
      if (!before(this.#stamp, stamp)) return;
      this.#stamp = stamp;
      this.#fresh();
      if (!this.bare && !own) this.#kin.rule.place(stamp.deleted ? undefined : data);
    });
  }

  listen(): void {
    this.#kin.listen();
  }

  /** Whether a version is not older than what is known. */
  isNews(stamp: Stamp): boolean {
    return !before(stamp, this.#stamp);
  }

  /** The server does not permit what was published. */
  denied(): void {
    if (this.#follows) this.#kin.core.keeping.unpublished(this.#kin.subject);
    this.#stamp = unset;
  }

  /** What has become of a value that was set here. */
  #settled(id: number, error: KinopioError | undefined): void {
    const { core, rule } = this.#kin;
    if (core.session.dead) return; // nobody is called back any more
    this.#change(() => {
      this.#waits--;
      if (error) {
        rule.failed(id);
        this.#stamp = unset;
      } else {
        rule.went(id);
      }
    });
    this.#kin.settled();
  }

  #knows(): void {
    this.isKnown = true;
    this.#known?.resolve();
  }

  #change(what: () => void): void {
    const { rule } = this.#kin;
    const { isKnown } = this;
    const former = rule.now;
    this.#kin.change(what);
    if (isKnown === this.isKnown) return;
    if (former === undefined && rule.now === undefined) for (const callback of [...this.#absent]) callback();
    this.#absent.clear();
  }
}
