import { hashOf, hereText, most, mostJump, mostSeq, chunks, type Entry } from "./wire.js";

/** What an effect asks for. */
export const Do = {
  /** Listen to what is said to all, or do not any more. */
  hear: 1,
  unhear: 2,
  /** Answer those who ask who is here. */
  serve: 3,
  unserve: 4,
  /** Listen to what is said to who calls. */
  collect: 5,
  uncollect: 6,
  /** Send the data to all, or to who calls. */
  say: 7,
  roll: 8,
  /** Ask who is here, and tell by listed or unanswered. */
  ask: 9,
  /** It is known who is here, or not any more, as nobody wanted to know it. */
  known: 10,
  unknown: 11,
  /** That is the news of a member. */
  joined: 12,
  changed: 13,
  left: 14,
} as const;
export type DoOf = (typeof Do)[keyof typeof Do];

/** Something to be done. */
export interface Effect {
  readonly kind: DoOf;
  readonly id: string;
  readonly data: string;
}

const ms = 1e6;
// Times of the protocol, in nanoseconds: internal/presence/machine.go says what they are.
export const callEvery = 4000 * ms;
export const answerWithin = 2300 * ms;
export const misses = 3;
const takeOver = 5500 * ms;
const rankStep = 200 * ms;
const rankMost = 5;
export const believe = 500 * ms;
export const silence = 14_500 * ms;
export const wonder = 8000 * ms;
export const spread = 200 * ms;
export const settle = 1000 * ms;
export const askForMs = 2000;
const askFor = askForMs * ms;
export const askAgain = 700 * ms;
export const sayWithin = 1000 * ms;
export const listWithin = 300 * ms;
export const listPause = 3000 * ms;
const contradict = 300 * ms;
const remember = 30_000 * ms;

/** A member of the scope that is not this hub. */
interface Other extends Entry {
  seq: number;
  data: string;
  /** It has said something itself. */
  heard: number;
  /** It is known. */
  since: number;
  /** Calls in a row that it has not answered. */
  misses: number;
  /** It is said to be gone, which is believed then; 0: it is not. */
  goneAt: number;
}

/** Who has left: what is said of it from before does not count. */
interface Departed {
  seq: number;
  /** It has said so itself. */
  left: boolean;
  at: number;
}

/** Whether it does, against what is said of the member now, by itself or by others. */
function counts(d: Departed, now: number, seq: number, first: boolean): boolean {
  if (d.left) return now - d.at < remember && seq <= d.seq;
  return now - d.at < remember / 5 && (seq < d.seq || (seq === d.seq && !first));
}

/**
 * Who is in one scope, and whether this hub is: the part of the machine that does not speak of calls. The same as
 * internal/presence, machine.go and members.go.
 */
export abstract class Members {
  /** This hub's. */
  readonly id: string;
  protected readonly random: (below: number) => number;

  protected joined = false;
  protected watched = false;
  protected online = false;
  protected known = false;
  protected seq = 0;
  protected data = "";
  protected others: Other[] = []; // in the order of their ids
  protected hash = 0; // of them and of this hub
  #gone = new Map<string, Departed>();
  #departed: string[] = []; // their ids, the oldest first
  protected changed = 0;

  #hearing = false;
  #serving = false;
  #collecting = false;

  protected asking = false;
  protected askAt = 0;
  protected askUntil = 0;
  protected hereAt = 0; // when to say that this hub is here; 0: not
  protected contradicted = 0;
  protected called = 0; // the last call, of anybody
  protected caller = ""; // whose it was
  protected wondered = false; // nobody has called for a while, and this hub, which is no member, has asked since
  protected callAt = 0; // when this hub calls, unless another does
  protected calling = false; // it was the last who did
  protected countAt = 0; // when to count the answers; 0: that is done
  protected sayAt = 0; // when to tell some to say that they are here, and all of all; 0: not
  protected listAt = 0;
  protected unknown = new Set<string>(); // those who shall say it
  #began = 0; // when this hub became a member
  #greeted = false; // it has let a newcomer know since
  protected doubted = 0; // members that are said to be gone

  #effects: Effect[] = [];

  /** `random` gives a whole number from 0 to below its argument. */
  constructor(id: string, random: (below: number) => number) {
    this.id = id;
    this.random = random;
  }

  /** What is to be done since the last call. */
  effects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  protected do(kind: DoOf, id = "", data = ""): void {
    this.#effects.push({ kind, id, data });
  }

  /** All, this hub included, in the order of ids. */
  all(): Entry[] {
    const all: Entry[] = [...this.others];
    if (this.joined) all.splice(this.#index(this.id), 0, this.self);
    return all;
  }

  /** What is known of a member, also if that is this hub. */
  entry(id: string): Entry | undefined {
    return id !== this.id ? this.find(id) : this.joined ? this.self : undefined;
  }

  /** Whether it is known who is here. */
  get knows(): boolean {
    return this.known;
  }

  /** Whether somebody wants to know it. */
  get watches(): boolean {
    return this.watched;
  }

  /** Whether this hub is a member. */
  get isMember(): boolean {
    return this.joined;
  }

  /** What this hub has said of itself last. */
  protected get self(): Entry {
    return { id: this.id, seq: this.seq, data: this.data };
  }

  /** What this hub has given with join. */
  get own(): string {
    return this.data;
  }

  /** Makes this hub a member, with data, or gives it other data. */
  join(now: number, data: string): void {
    const first = !this.joined;
    const { active } = this;
    if (!first && data === this.data) return;
    if (!first) this.mix(this.self);
    this.joined = true;
    this.data = data;
    this.seq++;
    this.mix(this.self);
    this.changed = now;
    if (first) {
      this.#began = now;
      this.#greeted = false;
    }
    this.do(first ? Do.joined : Do.changed, this.id, data);
    this.#listen();
    this.here();
    if (!active) this.#begin(now);
    else if (first) this.plan();
  }

  /** Says that this hub is here. */
  protected here(): void {
    this.hereAt = 0;
    if (this.online && this.joined) this.do(Do.say, "", hereText(this.self));
  }

  /** Ends that. */
  leave(now: number): void {
    if (!this.joined) return;
    this.mix(this.self);
    this.joined = false;
    this.seq++;
    this.changed = now;
    if (this.online) this.#sayLeft();
    this.do(Do.left, this.id, this.data);
    this.hereAt = 0;
    this.yield();
    this.#listen();
    this.#end();
  }

  #sayLeft(): void {
    this.do(Do.say, "", `left ${this.id} ${this.seq}`);
  }

  /** Lets others call. */
  protected yield(): void {
    this.calling = false;
    this.countAt = this.sayAt = this.listAt = 0;
    this.unknown.clear();
    this.#listen();
  }

  /** Begins to know who is here. */
  watch(now: number): void {
    if (this.watched) return;
    const { active } = this;
    this.watched = true;
    this.#listen();
    if (!active) this.#begin(now);
  }

  /** Ends it. */
  unwatch(): void {
    this.watched = false;
    this.#listen();
    this.#end();
  }

  /** Whether the hub is a member or wants to know who is. */
  get active(): boolean {
    return this.joined || this.watched;
  }

  /** Forgets who is here, when nobody wants to know it. */
  #end(): void {
    if (this.active) return;
    if (this.known) this.do(Do.unknown);
    this.others = [];
    this.hash = this.doubted = 0;
    this.known = this.asking = false;
    this.#gone.clear();
    this.#departed = [];
    this.caller = "";
  }

  /** Begins to know who is here, if that has just become wanted or possible. */
  #begin(now: number): void {
    if (!this.online || !this.active) return;
    this.heardCall(now, this.caller);
    if (!this.known && !this.asking) this.ask(now);
  }

  protected ask(now: number): void {
    this.asking = true;
    this.askAt = now;
    this.askUntil = now + askFor;
  }

  /** Lets the hub listen to what it needs. */
  #listen(): void {
    if (this.#hearing !== this.active) this.do((this.#hearing = this.active) ? Do.hear : Do.unhear);
    const serving = this.joined && this.known;
    if (this.#serving !== serving) this.do((this.#serving = serving) ? Do.serve : Do.unserve);
    const collecting = this.joined && this.calling;
    if (this.#collecting !== collecting) this.do((this.#collecting = collecting) ? Do.collect : Do.uncollect);
  }

  /** Calls from now on, if nobody else does: those who answer have to reach this hub. */
  protected beginCalling(now: number): void {
    this.calling = true;
    this.callAt = now + spread;
    this.#listen();
  }

  /** The hub has a connection after it had none, or is in another system. */
  linked(now: number): void {
    this.online = true;
    if (!this.active) return;
    this.yield();
    this.here();
    this.heardCall(now, this.caller);
    this.ask(now); // for those who have come meanwhile
  }

  /** It has none. Who was here is taken to be. */
  unlinked(): void {
    this.online = this.asking = false;
  }

  /** The answers to somebody who asks who is here. */
  asked(): string[] {
    return chunks(this.told, (part, parts) => `who ${this.id} ${part} ${parts}`);
  }

  /** What is told of all: others first, and then this hub. */
  protected get told(): Entry[] {
    return this.joined ? [...this.others, this.self] : this.others;
  }

  /** Nobody is here who could answer. */
  unanswered(now: number): void {
    if (!this.asking) return;
    const first = !this.known;
    this.learned();
    if (first && this.joined && this.hereAt === 0) this.hereAt = now + spread; // who has asked meanwhile was not answered, either
  }

  protected learned(): void {
    this.asking = false;
    if (!this.known) {
      this.known = true;
      this.do(Do.known);
    }
    this.#listen();
  }

  /** Notes a call, and when this hub calls if no other comes. */
  protected heardCall(now: number, from: string): void {
    this.called = now;
    this.caller = from;
    this.wondered = false;
    this.plan();
  }

  /** Says when this hub calls if no other does. */
  protected plan(): void {
    let rank = 0;
    for (const { id } of this.others) if (id < this.id && id !== this.caller) rank++;
    this.callAt = this.called + takeOver + Math.min(rank, rankMost) * rankStep + this.random(rankStep);
  }

  /** Takes an entry into the hash, or out of it. */
  protected mix(entry: Entry): void {
    this.hash = (this.hash ^ hashOf(entry)) >>> 0;
  }

  /** Where id is among the others, or would be. */
  #index(id: string): number {
    let low = 0;
    for (let high = this.others.length; low < high; ) {
      const middle = (low + high) >> 1;
      if (this.others[middle]!.id < id) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  protected find(id: string): Other | undefined {
    const one = this.others[this.#index(id)];
    return one?.id === id ? one : undefined;
  }

  /** Takes what is said of a member, by itself, if it is the `first` hand, or by others. */
  protected add(now: number, entry: Entry, first: boolean): void {
    const { id, seq, data } = entry;
    if (id === this.id) return this.#heardOfSelf(now, entry);
    const departed = this.#gone.get(id);
    if (departed && counts(departed, now, seq, first)) return;
    const one = this.find(id);
    if (!one) {
      if (this.others.length >= most) return;
      this.#gone.delete(id);
      this.unknown.delete(id);
      this.others.splice(this.#index(id), 0, { id, seq, data, heard: first ? now : 0, since: now, misses: 0, goneAt: 0 });
      if (first) this.#greet(now);
      this.mix(entry);
      this.changed = now;
      return this.do(Do.joined, id, data);
    }
    if (first) {
      one.heard = now;
      one.misses = 0;
      this.doubt(one, 0);
    }
    if (seq <= one.seq || seq - one.seq > mostJump) return;
    this.unknown.delete(id);
    const same = one.data === data;
    this.mix(one);
    this.mix(entry);
    one.seq = seq;
    one.data = data;
    this.changed = now;
    if (!same) this.do(Do.changed, id, data);
  }

  /** Lets a newcomer know of this hub, if that is one, too, so that nobody may have told it. */
  #greet(now: number): void {
    if (!this.joined || this.#greeted || now - this.#began >= askFor || this.hereAt !== 0) return;
    this.#greeted = true;
    this.soon(now, settle);
  }

  /** Says that this hub is here, within a while. */
  protected soon(now: number, within: number): void {
    this.hereAt = Math.max(now, this.contradicted) + (within && this.random(within));
    this.contradicted = this.hereAt + contradict;
  }

  /** Takes what others say of this hub: it knows better. */
  #heardOfSelf(now: number, { seq, data }: Entry): void {
    if (seq < this.seq || (this.joined && seq === this.seq && data === this.data)) return;
    if (this.joined) return this.contradict(now, seq);
    if (!this.online || now < this.contradicted) return;
    this.contradicted = now + contradict;
    this.seq = Math.min(Math.max(this.seq, seq) + 1, mostSeq);
    this.#sayLeft();
  }

  /** Says, soon, that this hub is here, with a number above another's. */
  protected contradict(now: number, seq: number): void {
    if (seq - this.seq > mostJump) return; // nobody believes that
    this.mix(this.self);
    this.seq = Math.min(Math.max(this.seq, seq) + 1, mostSeq);
    this.mix(this.self);
    if (this.hereAt === 0) this.soon(now, 0);
  }

  /** Takes a member off; `left`: it has said so itself. */
  protected remove(now: number, id: string, seq: number, left: boolean): void {
    if (!this.#gone.has(id)) this.#departed.push(id);
    this.#gone.set(id, { seq, left, at: now });
    while (this.#departed.length > 0 && (this.#departed.length > most || now - (this.#gone.get(this.#departed[0]!)?.at ?? 0) > remember)) {
      this.#gone.delete(this.#departed.shift()!);
    }
    this.unknown.delete(id);
    const i = this.#index(id);
    if (this.others[i]?.id === id) this.take(now, i);
  }

  /** Says when it is believed that a member is gone; 0: never. */
  protected doubt(one: Other, at: number): void {
    if (one.goneAt !== 0) this.doubted--;
    if ((one.goneAt = at) !== 0) this.doubted++;
  }

  /** Takes a member off. */
  protected take(now: number, i: number): void {
    const one = this.others[i]!;
    this.doubt(one, 0);
    this.others.splice(i, 1);
    this.mix(one);
    this.changed = now;
    this.do(Do.left, one.id, one.data);
  }
}
