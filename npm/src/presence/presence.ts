import { decode, encode } from "../codec.js";
import type { HubCore } from "../core.js";
import { defer, within, type Deferred } from "../deferred.js";
import { detachable, raw } from "../detach.js";
import { Driver } from "../driver.js";
import { KinopioError, messageOf } from "../errors.js";
import { checkName, isTarget } from "../names.js";
import { callBack } from "../observers.js";
import type { Sink } from "../session.js";
import { Machine } from "./machine.js";
import { askForMs, Do, type Effect } from "./members.js";
import type { Presences } from "./presences.js";
import { bytesOfText, herePrefix, rollPrefix, textOfBytes, whoPrefix } from "./subjects.js";
import { mostData, type Entry } from "./wire.js";

const knowers = "_KH"; // the queue group of those who answer who is here

/** Somebody in a scope. */
export interface Member<T = any> {
  /** The same for the member's hub as long as that lives: ten characters. */
  readonly id: string;
  /** What the member has given with join or update. All who look at it have the same object. */
  readonly data: T;
  /** It is this hub. */
  readonly self: boolean;
}

/** The news of a member. */
export interface PresenceChange<T = any> {
  /** "changed": it has other data; "left": the data is what it had last. */
  readonly kind: "joined" | "changed" | "left";
  readonly member: Member<T>;
}

/** One callback of onChange, and whom it was told of. */
interface Watcher {
  readonly callback: (change: PresenceChange<any>) => unknown;
  readonly told: Map<string, Member>;
  ended: boolean;
}

const encoder = /* @__PURE__ */ new TextEncoder();

/**
 * Who is in a scope. All of one scope in a hub are the same one, and a hub is one member at most. hub/presence.go is the
 * same in Go.
 */
export class Presence<T = any> {
  #core: HubCore;
  #all: Presences;
  #driver: Driver<Effect, Machine>;
  #machine: Machine;
  #subscriptions = new Map<number, number>(); // by the effect that began them
  #known: Deferred<void> | undefined; // somebody waits until it is known who is here
  #waiting = 0;
  #asked = false; // somebody has read who is here, and the lease lasts
  #looked = false; // since the lease has begun
  #watchers = new Set<Watcher>();
  #members = new Map<string, { data: string; member: Member<T> }>(); // as they were told
  #list: readonly Member<T>[] | undefined; // of who is here, until that changes
  #away: string | undefined; // the data with which this hub is a member again when its page comes back
  #complained = false;

  /** The scope's name. */
  declare readonly scope: string;

  /** @internal */
  constructor(core: HubCore, all: Presences, scope: string) {
    Object.defineProperty(this, "scope", { value: scope, enumerable: true }); // readonly at run time, too
    this.#core = core;
    this.#all = all;
    this.#machine = new Machine(all.id, (below) => Math.floor(Math.random() * below));
    this.#driver = new Driver(this.#machine, () => core.session.dead !== undefined, (effect) => this.#effect(effect));
    detachable(this, Presence.prototype, core.report, ["ready"], ["Presence", (presence) => ({ scope: presence.scope, members: presence.toJSON() })]);
  }

  /**
   * Makes this hub a member, with data of at most 1024 bytes as a value is encoded; of a member it is {@link update}. Without a
   * connection it is one as soon as there is one. It is one until leave, or the end of the hub or its page, which all see
   * at once (of a page in Firefox within 15 s); when its process dies or its machine loses the network, all see it leave within 15 s. A hub that moves
   * or reconnects stays, and so does a page that comes back.
   *
   * @throws KinopioError INVALID_VALUE, INVALID_NAME for a scope with a wildcard, DISPOSED
   */
  join(data?: T): void {
    const text = this.#encoded("join", data);
    if (this.#away !== undefined) this.#away = text;
    else this.#do((machine, now) => machine.join(now, text));
  }

  /**
   * Gives this member other data.
   *
   * @throws KinopioError INVALID_CONFIG if this hub has not joined, INVALID_VALUE, INVALID_NAME, DISPOSED
   */
  update(data: T): void {
    const text = this.#encoded("update", data);
    if (this.#away === undefined && !this.#machine.isMember) {
      throw new KinopioError("INVALID_CONFIG", `update ${this.scope}: this hub has not joined`);
    }
    if (this.#away !== undefined) this.#away = text;
    else this.#do((machine, now) => machine.join(now, text));
  }

  /** Ends this hub's membership, which others see at once. Of a hub that is no member it does nothing. */
  leave(): void {
    this.#away = undefined;
    this.#do((machine, now) => machine.leave(now));
  }

  /**
   * Who is here, as far as is known, this hub included, in the order of ids; the same array until that changes. The hub
   * goes on to know it for the option `readLinger` at least. See {@link ready} for the first time.
   */
  get members(): readonly Member<T>[] {
    const self = raw(this);
    self.#read();
    return self.#current();
  }

  /**
   * Calls back with each member that is here, as joined, and then with what happens to members, this hub's included.
   *
   * @returns what ends it
   * @throws KinopioError INVALID_NAME for a scope with a wildcard, DISPOSED
   */
  onChange(callback: (change: PresenceChange<T>) => void): () => void {
    this.#check();
    if (typeof callback !== "function") throw new KinopioError("INVALID_CONFIG", `onChange of presence in ${this.scope}: want a function, not ${typeof callback}`);
    const watcher: Watcher = { callback, told: new Map(), ended: false };
    this.#watchers.add(watcher);
    this.#watch();
    for (const entry of this.#machine.all()) this.#tell(watcher, entry.id, entry);
    return () => {
      watcher.ended = true;
      if (this.#watchers.delete(watcher)) this.#watch();
    };
  }

  /**
   * Resolves with the members when it is known who is here, which takes 2 s at most from when there is a connection.
   *
   * @param timeout milliseconds, 0 for no bound; default: the hub's option `timeout`
   * @throws KinopioError TIMEOUT, INVALID_NAME, DISPOSED
   */
  async ready(timeout: number = this.#core.timeout): Promise<readonly Member<T>[]> {
    this.#check();
    if (!(Number.isFinite(timeout) && timeout >= 0)) {
      throw new KinopioError("INVALID_CONFIG", `ready of presence in ${this.scope}: timeout = ${timeout}: want milliseconds, or 0 for no bound`);
    }
    this.#waiting++;
    this.#read();
    try {
      if (!this.#machine.knows) {
        const known = Promise.race([(this.#known ??= defer()).promise, this.#core.disposed]);
        const late = () => new KinopioError("TIMEOUT", `timed out: after ${timeout} ms it is not known who is in ${this.scope}`);
        await (timeout === 0 ? known : within(known, timeout, late));
      }
    } finally {
      this.#waiting--;
      this.#read();
    }
    return this.#current();
  }

  /** `JSON.stringify(presence)`: the members that are known. To look at it begins nothing. */
  toJSON(): readonly Member<T>[] {
    return raw(this).#current();
  }

  /** @internal the end of the lease, unless somebody has read again */
  lapse(): void {
    this.#asked = this.#looked;
    this.#looked = false;
    if (this.#asked) this.#core.leases.hold(this, this.#core.readLinger);
    this.#watch();
  }

  /** @internal there is a connection after there was none, or to another system; or there is none */
  link(on: boolean): void {
    this.#do((machine, now) => (on ? machine.linked(now) : machine.unlinked()));
  }

  /** @internal the hub is about to end: others see it leave, and nobody is called back any more */
  farewell(): void {
    this.#watchers.clear();
    this.hide();
  }

  /** @internal the page goes: others see it leave at once */
  hide(): void {
    if (!this.#machine.isMember) return;
    this.#away = this.#machine.own;
    this.#driver.do((machine, now) => machine.leave(now));
    this.#driver.run(); // nothing more may be done here after this
  }

  /** @internal the page has come back */
  show(): void {
    const text = this.#away;
    this.#away = undefined;
    if (text !== undefined) this.#do((machine, now) => machine.join(now, text));
  }

  /** @internal the server does not permit something of this scope */
  refused(what: string): void {
    const all = [herePrefix, rollPrefix, whoPrefix].map((prefix) => prefix + this.scope);
    this.#complain("PERMISSION_DENIED", `not permitted: ${what}; presence in ${this.scope} needs to publish and subscribe to ${all.join(", ")}, and an inbox; see docs/permissions.md`);
  }

  /** @internal the hub has ended */
  end(): void {
    this.#driver.end();
    this.#watchers.clear(); // the hub may have ended by itself
  }

  #complain(code: KinopioError["code"], message: string): void {
    if (this.#complained) return;
    this.#complained = true;
    this.#core.report(new KinopioError(code, message));
  }

  #check(): void {
    checkName(this.scope, false);
    if (this.#core.session.dead) throw this.#core.session.dead;
  }

  #encoded(what: string, value: unknown): string {
    this.#check();
    const payload = encode(value, this.#core.session.coding);
    const bytes = typeof payload === "string" ? encoder.encode(payload) : payload;
    if (bytes.length > mostData) throw new KinopioError("INVALID_VALUE", `${what} ${this.scope}: ${bytes.length} bytes of data: want at most ${mostData}`);
    return textOfBytes(bytes);
  }

  #current(): readonly Member<T>[] {
    return (this.#list ??= Object.freeze(this.#machine.all().map((entry) => this.#member(entry))));
  }

  /** A member as programs see it, the same one as long as its data is. */
  #member({ id, data }: Entry): Member<T> {
    const known = this.#members.get(id);
    if (known?.data === data) return known.member;
    const value = decode(bytesOfText(data), this.#core.session.coding) as T;
    const member = Object.freeze({ id, data: value, self: id === this.#machine.id });
    this.#members.set(id, { data, member });
    return member;
  }

  /** Somebody wants to know who is here, who says no more than that. */
  #read(): void {
    this.#asked = this.#looked = true;
    this.#core.leases.hold(this, this.#core.readLinger);
    this.#watch();
  }

  /** Begins or ends to know who is here, as somebody wants it. */
  #watch(): void {
    const wanted = this.#asked || this.#waiting > 0 || this.#watchers.size > 0;
    if (wanted === this.#machine.watches || !isTarget(this.scope)) return;
    this.#do((machine, now) => (wanted ? machine.watch(now) : machine.unwatch()));
  }

  #do(what: (machine: Machine, now: number) => void): void {
    const { session } = this.#core;
    if (session.dead) return;
    this.#driver.do((machine, now) => {
      if (!machine.active) {
        // It has not been told meanwhile.
        if (session.linked) machine.linked(now);
        else machine.unlinked();
      }
      what(machine, now);
      if (machine.active) this.#all.active.add(this);
      else if (this.#away === undefined) this.#all.active.delete(this);
    });
    this.#list = undefined;
  }

  #effect({ kind, id, data }: Effect): void {
    const { session } = this.#core;
    switch (kind) {
      case Do.hear:
        return this.#listen(kind, herePrefix, (rows, row) => this.#heard((machine, now) => machine.heard(now, textOfBytes(rows.bytes(row)))));
      case Do.collect:
        return this.#listen(kind, rollPrefix, (rows, row) => this.#heard((machine, now) => machine.heardRoll(now, textOfBytes(rows.bytes(row)))));
      case Do.serve:
        return this.#listen(kind, whoPrefix, (rows, row) => this.#answer(rows.aux(row)), knowers);
      case Do.unhear:
      case Do.unserve:
      case Do.uncollect:
        return session.unsubscribe(this.#subscriptions.get(kind - 1) ?? 0);
      case Do.say:
        return this.#publish(herePrefix, data);
      case Do.roll:
        return this.#publish(rollPrefix, data);
      case Do.ask:
        return this.#ask();
      case Do.known:
        this.#known?.resolve();
        this.#known = undefined;
        return;
      case Do.unknown:
        return this.#members.clear();
      case Do.joined:
      case Do.changed:
      case Do.left:
        return this.#changed(id);
    }
  }

  /** Tells of a member what is known now: what was before that is no news any more. */
  #changed(id: string): void {
    this.#list = undefined;
    const entry = this.#machine.entry(id);
    for (const watcher of [...this.#watchers]) this.#tell(watcher, id, entry);
    if (!entry) this.#members.delete(id);
  }

  #heard(what: (machine: Machine, now: number) => void): void {
    this.#driver.do(what);
    this.#list = undefined;
  }

  #listen(kind: number, prefix: string, sink: Sink, queue?: string): void {
    this.#subscriptions.set(kind, this.#core.session.subscribe(prefix + this.scope, sink, { queue, control: true }).id);
  }

  /** Says something, if there is a connection: it is of no use later. */
  #publish(prefix: string, text: string): void {
    const { session } = this.#core;
    if (!session.linked) return;
    session.publishApart(prefix + this.scope, bytesOfText(text)).catch(({ code, message }: KinopioError) => {
      if (code === "INVALID_NAME" || code === "MESSAGE_TOO_LARGE") this.#complain(code, `presence in ${this.scope}: ${message}`);
    });
  }

  #ask(): void {
    const { session } = this.#core;
    const sink: Sink = (rows, row) => this.#heard((machine, now) => machine.listed(now, textOfBytes(rows.bytes(row))));
    session.requestMany(whoPrefix + this.scope, "", askForMs, 0, undefined, sink).catch(({ code, message }: KinopioError) => {
      if (code === "PERMISSION_DENIED") this.refused(message);
      if (["PERMISSION_DENIED", "NO_RESPONDERS", "INVALID_NAME"].includes(code)) this.#heard((machine, now) => machine.unanswered(now));
    });
  }

  /** Answers a question. If that fails, who asks asks again. */
  #answer(id: number): void {
    if (id === 0) return;
    for (const text of this.#driver.do((machine) => machine.asked())) this.#core.session.respond(id, bytesOfText(text)).catch(() => {});
  }

  /** Tells a watcher of a member what it does not know yet; without an entry, that it has left. */
  #tell(watcher: Watcher, id: string, entry: Entry | undefined): void {
    const { told } = watcher;
    const before = told.get(id);
    const member = entry && this.#member(entry);
    if (watcher.ended || before === member) return;
    if (member) told.set(id, member);
    else told.delete(id);
    const kind = !before ? "joined" : member ? "changed" : "left";
    callBack(watcher.callback, { kind, member: member ?? before! }, (cause) => {
      this.#core.report(new KinopioError("CALLBACK_FAILED", `watcher of presence in ${this.scope} threw: ${messageOf(cause)}`, { cause }));
    });
  }
}
