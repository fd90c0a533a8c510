import type { Payload } from "../codec.js";
import { Driver } from "../driver.js";
import { KinopioError } from "../errors.js";
import { randomDigits } from "../ids.js";
import type { Session } from "../session.js";
import { askForMs, Do, Machine, Verdict, type Effect, type VerdictOf } from "./machine.js";
import { parseStamp, stampText, type Stamp } from "./version.js";

// The subjects on which hubs talk about values, and the queue group of those who answer: see hub/kept.go.
const own = "_KH.";
const beatSubject = `${own}beat`;
const askPrefix = `${own}ask.`;
const offerPrefix = `${own}offer.`;
const knowers = "_KH";

/** The header of a message that sets or deletes the value of its subject. */
export const setHeader = "Kset";

/** Whether a subject is one on which hubs talk among themselves. */
export const isOwn = (subject: string): boolean => subject.startsWith(own);

/** Who follows a name. */
export interface Follower {
  /** Subscribes to the subject now, if that is still to be done. */
  listen(): void;
  /**
   * What is known now, by an answer; with `own` it is what was set here, which has its version now; with `refused` the
   * server does not let anybody be asked.
   */
  learned(stamp: Stamp, data: Payload, own: boolean, refused: boolean): void;
}

/** What becomes of a value that was set. */
type Settle = (error?: KinopioError) => void;

const textEncoder = /* @__PURE__ */ new TextEncoder();
const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** As hubs are called. */
const randomName = (): string => randomDigits(7, digits);

/** What a message says of the version of its value; undefined if it says nothing, or what nobody writes. */
export function stampOf(headers: Readonly<Record<string, readonly string[]>>): Stamp | undefined {
  const values = headers[setHeader];
  const stamp = values?.length === 1 ? parseStamp(values[0]!.trim()) : undefined;
  return stamp && stamp.counter > 0 ? stamp : undefined;
}

/** Lets a hub take part in what {@link Machine} describes; hub/kept.go is the same. */
export class Keeping {
  #session: Session;
  #machine = new Machine(randomName, (n) => Math.floor(Math.random() * n), randomName);
  #driver: Driver<Effect, Machine>;
  #followers = new Map<string, Follower>();
  #settling = new Map<number, { settle: Settle; size: number }>(); // of values that are to be sent
  #serial = 0;
  #refused = new Set<string>(); // first parts that the server does not permit to be asked for
  #subscriptions = new Map<string, number>();
  #warned = false;

  constructor(session: Session) {
    this.#session = session;
    this.#driver = new Driver(this.#machine, () => session.dead !== undefined, (effect) => this.#effect(effect));
    if (session.linked) this.link(true);
  }

  /** Begins to know the value of a subject. */
  follow(subject: string, follower: Follower): void {
    this.#followers.set(subject, follower);
    this.#do((machine, now) => machine.follow(now, subject));
  }

  /** Ends it: what was known is forgotten. */
  unfollow(subject: string): void {
    this.#followers.delete(subject);
    this.#do((machine) => machine.unfollow(subject));
  }

  /** The size of a value that is to be set, in bytes. Throws if it cannot be now. */
  check(subject: string, data: Payload): number {
    const { keptBytes, pendingLimit } = this.#session;
    const size = typeof data === "string" ? textEncoder.encode(data).length : data.length;
    if (this.#machine.exhausted(subject)) {
      throw new KinopioError("INVALID_VALUE", `set ${subject}: its version has reached the largest that there is`);
    }
    const waits = keptBytes - (this.#settling.get(this.#machine.waiting(subject))?.size ?? 0); // whose place this one takes
    if (waits + size > pendingLimit) {
      throw new KinopioError("DISCONNECTED", `disconnected: ${waits} bytes of set values wait to be sent, and ${size} more exceed pendingLimitBytes, which is ${pendingLimit}`);
    }
    return size;
  }

  /**
   * Makes data, of a size that was checked, the value of a subject that is followed, or deletes it. `settle` is called when a connection has it, or a
   * newer one has come before that.
   */
  set(subject: string, data: Payload, size: number, deleted: boolean, settle: Settle): void {
    const id = ++this.#serial;
    this.#settling.set(id, { settle, size });
    this.#session.keptBytes += size;
    this.#do((machine, now) => machine.set(now, subject, data, deleted, id));
    this.#driver.run(); // before what is published next
  }

  /** Says what a set value is that has come. */
  heard(subject: string, stamp: Stamp, data: Payload): VerdictOf {
    if (!this.#followers.has(subject)) return Verdict.unknown;
    return this.#do((machine, now) => machine.heard(now, subject, stamp, typeof data === "string" ? data : data.slice()));
  }

  /** There is a connection after there was none, or to another system; or there is none. */
  link(on: boolean): void {
    if (on) this.#refused.clear();
    this.#do((machine, now) => (on ? machine.online(now) : machine.offline()));
  }

  /** The server does not permit what was published on a subject. */
  unpublished(subject: string): void {
    this.#do((machine, now) => machine.refused(now, subject, true));
  }

  /** Tells, once, that a server does not let the hub do this. */
  warn(why: string): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#session.warn(`values that others have set before are not known, or not told to others: the server permits too little of ${own}>, or no inbox: ${why}`);
  }

  /** The hub has ended. */
  end(error: KinopioError): void {
    this.#driver.end();
    this.#followers.clear();
    for (const { settle } of this.#settling.values()) settle(error);
    this.#settling.clear();
    this.#session.keptBytes = 0;
  }

  #do<T>(what: (machine: Machine, now: number) => T): T {
    return this.#driver.do(what);
  }

  #effect({ kind, name, stamp, data, id }: Effect): void {
    switch (kind) {
      case Do.ask:
        return this.#ask(name);
      case Do.publish:
        return this.#publish(name, stamp, data, id);
      case Do.serve:
        return this.#listen(askPrefix + name, (rows, row) => this.#answer(name, rows.aux(row)), knowers);
      case Do.unserve:
        return this.#unlisten(askPrefix + name);
      case Do.hear:
        if (name === "") return this.#listen(beatSubject, (rows, row) => this.#do((machine, now) => machine.heardBeat(now, rows.text(row) ?? "")));
        return this.#listen(offerPrefix + name, (rows, row) => this.#do((machine, now) => machine.heardOffer(now, rows.text(row) ?? "")));
      case Do.unhear:
        return this.#unlisten(name === "" ? beatSubject : offerPrefix + name);
      case Do.offer:
        return void this.#session.publishApart(offerPrefix + name, data).catch(() => {}); // it is said again, or of no use then
      case Do.beat:
        return void this.#session.publishApart(beatSubject, data).catch(() => {});
      case Do.changed:
        return this.#followers.get(name)?.learned(stamp, data, id !== 0, this.#refused.has(name.split(".", 1)[0]!));
      case Do.superseded:
        return this.#settle(id);
    }
  }

  #listen(subject: string, sink: Parameters<Session["subscribe"]>[1], queue?: string): void {
    this.#subscriptions.set(subject, this.#session.subscribe(subject, sink, { queue, control: true }).id);
  }

  #unlisten(subject: string): void {
    const id = this.#subscriptions.get(subject);
    this.#subscriptions.delete(subject);
    if (id !== undefined) this.#session.unsubscribe(id);
  }

  #ask(subject: string): void {
    const [first] = subject.split(".", 1) as [string];
    const unanswered = () => this.#do((machine, now) => machine.unanswered(now, subject));
    if (this.#refused.has(first)) return unanswered();
    this.#followers.get(subject)?.listen();
    this.#session.request(askPrefix + subject, "", askForMs).then(
      ({ rows, row }) => {
        const stamp = stampOf(rows.headers(row));
        if (stamp) this.#do((machine, now) => machine.answered(now, subject, stamp, rows.text(row) ?? rows.own(row)));
      },
      (error: KinopioError) => {
        if (error.code === "PERMISSION_DENIED") {
          this.warn(error.message);
          this.#refused.add(first);
        }
        if (["PERMISSION_DENIED", "NO_RESPONDERS", "INVALID_NAME"].includes(error.code)) unanswered();
      },
    );
  }

  /** Answers a question, unless the answer has been forgotten meanwhile. If that fails, who asks asks again. */
  #answer(subject: string, id: number): void {
    const known = this.#machine.asked(subject);
    if (known && id !== 0) this.#session.respond(id, known.data, header(known.stamp)).catch(() => {});
  }

  /** Sends a value. */
  #publish(subject: string, stamp: Stamp, data: Payload, id: number): void {
    const sent = this.#session.publishApart(subject, data, header(stamp));
    if (id === 0) return void sent.catch(() => {});
    sent.then(
      () => this.#settle(id),
      (error: KinopioError) => {
        if (error.code === "MESSAGE_TOO_LARGE" || error.code === "INVALID_NAME") this.#do((machine, now) => machine.refused(now, subject, false));
        // Without a connection it is the hub's value, and others get it when they are met again.
        this.#settle(id, error.code === "DISCONNECTED" ? undefined : error);
      },
    );
  }

  #settle(id: number, error?: KinopioError): void {
    const waiting = this.#settling.get(id);
    if (!waiting) return;
    this.#settling.delete(id);
    this.#session.keptBytes -= waiting.size;
    waiting.settle(error);
  }
}

const header = (stamp: Stamp): Uint8Array => textEncoder.encode(`${setHeader}\0${stampText(stamp)}\0`);

/** Bytes of the header at its longest, as the module takes it. */
export const longestHeader = `${setHeader}\0${"1fffffffffffff.zzzzzzz-+"}\0`.length;
