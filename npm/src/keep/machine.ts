import type { Payload } from "../codec.js";
import { Cell, Job, place, Region, type JobOf } from "./cells.js";
import { before, mostCounter, parseStamp, same, stampText, unset, type Stamp } from "./version.js";

/** What an effect asks for. */
export const Do = {
  /** Request subject `name`'s value, and tell by answered or unanswered. */
  ask: 1,
  /** `data` on `name` with `stamp`. `id` is what set was given, or 0 for something sent again. */
  publish: 2,
  /** Answer those who ask for `name`, or do not any more. */
  serve: 3,
  unserve: 4,
  /** Listen to offers in the region `name`, and to beats if it is "". */
  hear: 5,
  unhear: 6,
  /** Send the text `data` to the region `name`. */
  offer: 7,
  /** Send the text `data`. */
  beat: 8,
  /** What is known of `name` is another, by an answer; or, with what set was given as `id`, it is what was set. */
  changed: 9,
  /** What set was given with `id` will not be sent, as a newer value has come. */
  superseded: 10,
} as const;

/** Something to be done. */
export interface Effect {
  kind: (typeof Do)[keyof typeof Do];
  name: string;
  stamp: Stamp;
  data: Payload;
  id: number;
}

/** What a set value is that has come. */
export const Verdict = {
  /** The name is not followed. */
  unknown: 0,
  newer: 1,
  same: 2,
  older: 3,
} as const;
export type VerdictOf = (typeof Verdict)[keyof typeof Verdict];

// Times of the protocol, in nanoseconds as Go has them.
const ms = 1e6;
const askAgain = 700 * ms;
const asksAtOnce = 256;
/** Bounds how long an answer is waited for, in milliseconds. */
export const askForMs = 2000;
const askFor = askForMs * ms;
const assure = 2000 * ms;
const beatLeast = 4000 * ms;
const beatMost = 7000 * ms;
const beatFirst = 7500 * ms;
const beatsKept = 32;
const beatsOffered = 2;
const beatDigits = 7;
const busy = 1000 * ms;
const offerWithin = 1500 * ms;
const replyWithin = 300 * ms;
const wantAgain = 3000 * ms;
const wantTries = 4;
const pace = 25 * ms;
const chunk = 32 << 10;

/**
 * Knows the names that one hub follows. It is told what happens, with the time since any beginning in nanoseconds, and
 * says in effects what is to be done. The same as Machine of internal/keep, which says how it works and is simulated
 * from seeds; this one replays what that did (conformance/keep.json).
 */
export class Machine {
  #writer: () => string;
  #random: (n: number) => number;
  #token: () => string;
  #cells = new Map<string, Cell>();
  #regions: Region[] = []; // in the order of their names
  #asking = 0;
  #queue: Cell[] = []; // those whose turn to be asked for is still to come
  #atOnce: number;
  #online = false;
  #beatAt = 0; // 0: there is nothing to do
  #beatOf = 0;
  #last = "";
  #heard: { token: string; round: number }[] = []; // beats that cross have one round
  #round = 0; // of the latest of them
  #effects: Effect[] = [];

  /**
   * `random` gives a whole number from 0 to below its argument, `writer` a new random writer, and `token` as many random
   * characters. `atOnce` bounds the questions that wait for their answers.
   */
  constructor(writer: () => string, random: (n: number) => number, token: () => string, atOnce = asksAtOnce) {
    this.#writer = writer;
    this.#random = random;
    this.#token = token;
    this.#atOnce = atOnce;
  }

  /** What is to be done since the last call. */
  effects(): Effect[] {
    const effects = this.#effects;
    this.#effects = [];
    return effects;
  }

  /** Begins to follow a name, which the hub is subscribed to before what is asked for is sent. */
  follow(now: number, name: string): void {
    this.#ask(now, this.#cells.get(name) ?? this.#add(now, name));
  }

  /** Ends it: what was known of the name is forgotten. A value that waits to be sent is not sent. */
  unfollow(name: string): void {
    const c = this.#cells.get(name);
    if (!c) return;
    const r = c.region;
    this.#cells.delete(name);
    this.#asks(c, false);
    if (c.own) this.#do(Do.superseded, name, { id: c.own.id });
    for (const job of [Job.offer, Job.send, Job.demand]) c.done(job);
    r.remove(c);
    if (c.served) this.#do(Do.unserve, name);
    if (r.cells.length === 0) {
      this.#regions.splice(this.#regions.indexOf(r), 1);
      this.#do(Do.unhear, r.name);
    }
    if (this.#cells.size === 0) {
      this.#do(Do.unhear, "");
      this.#beatAt = 0;
    }
  }

  /** Nobody can set a name any more, as its counter has reached the largest one. */
  exhausted(name: string): boolean {
    return (this.#cells.get(name)?.most ?? 0) >= mostCounter;
  }

  /** The id of the value that waits to be sent, and which another one takes the place of; 0: none does. */
  waiting(name: string): number {
    return this.#cells.get(name)?.own?.id ?? 0;
  }

  /**
   * Makes data the value of a name that is followed, or deletes it. It is sent when the hub is connected and knows
   * what it follows.
   */
  set(now: number, name: string, data: Payload, deleted: boolean, id: number): void {
    const c = this.#cells.get(name);
    if (!c) return this.#do(Do.superseded, name, { id });
    if (c.own) this.#do(Do.superseded, name, { id: c.own.id });
    c.own = { data, deleted, id };
    if (c.known) this.#assign(now, c);
  }

  /**
   * What was published on a name has not been and will not be taken: the name is asked for anew. With `mute` nothing is
   * sent again there until online.
   */
  refused(now: number, name: string, mute: boolean): void {
    const c = this.#cells.get(name);
    if (!c) return;
    c.mute = mute;
    if (c.stamp.writer === c.writer) {
      c.stamp = unset;
      c.data = "";
      c.known = false;
      if (c.served) {
        c.served = false;
        this.#do(Do.unserve, name);
      }
    }
    c.done(Job.send);
    this.#ask(now, c);
  }

  /** Takes a set value that was published. */
  heard(now: number, name: string, stamp: Stamp, data: Payload): VerdictOf {
    const c = this.#cells.get(name);
    return !c || stamp.counter === 0 ? Verdict.unknown : this.#take(now, c, stamp, data);
  }

  /** Takes the answer to a question. */
  answered(now: number, name: string, stamp: Stamp, data: Payload): void {
    const c = this.#cells.get(name);
    if (!c) return;
    const newer = this.#take(now, c, stamp, data) === Verdict.newer;
    if (!c.known) this.#learn(now, c);
    else if (newer) this.#do(Do.changed, name, c);
    this.#askMore(now);
  }

  /** Nobody knows the name. Questions that get no answer at all need not be told. */
  unanswered(now: number, name: string): void {
    const c = this.#cells.get(name);
    if (c?.asking) this.#learn(now, c);
    this.#askMore(now);
  }

  /** What is answered to somebody who asks; undefined: nothing. */
  asked(name: string): { stamp: Stamp; data: Payload } | undefined {
    const c = this.#cells.get(name);
    return c && c.stamp.counter > 0 ? c : undefined;
  }

  /** The hub has a connection after it had none, or is in another system. */
  online(now: number): void {
    this.#online = true;
    if (this.#cells.size === 0) return;
    this.#beatAt = now + beatFirst + this.#random(1000 * ms);
    for (const r of this.#regions) {
      for (const c of r.cells) {
        c.mute = false;
        this.#ask(now, c);
        this.#publish(c);
      }
    }
    this.#reconcile(now);
  }

  /** It has none. */
  offline(): void {
    this.#online = false;
    for (const c of this.#queue) c.queued = false;
    this.#queue = [];
    for (const r of this.#regions) for (const c of r.cells) this.#asks(c, false);
  }

  /** Takes an offer: lines of a stamp and a name. */
  heardOffer(now: number, text: string): void {
    for (const line of text.split("\n")) {
      const space = line.indexOf(" ");
      const stamp = space < 0 ? undefined : parseStamp(line.slice(0, space));
      const c = this.#cells.get(line.slice(space + 1));
      if (!stamp || !c) continue;
      c.most = Math.max(c.most, stamp.counter);
      if (same(c.stamp, stamp)) {
        c.done(Job.offer);
      } else if (before(stamp, c.stamp)) {
        c.done(Job.offer);
        // Otherwise it is about to be sent, or cannot be.
        if (!c.own && !c.mute) c.plan(Job.send, now + this.#late(replyWithin));
      } else {
        if (before(c.want, stamp)) {
          c.want = stamp;
          c.wanted = 0;
        }
        c.offer(now + this.#late(replyWithin));
        c.plan(Job.demand, now + wantAgain);
      }
    }
  }

  /** Takes a beat: its token and the one before it. */
  heardBeat(now: number, text: string): void {
    const space = text.indexOf(" ");
    const token = text.slice(0, space);
    const former = text.slice(space + 1);
    if (space !== beatDigits || former.length > beatDigits || this.#cells.size === 0) return;
    if (this.#heard.some((beat) => beat.token === token)) return; // its own, or one that came twice
    const isLatest = this.#heard.some((beat) => beat.token === former && beat.round > this.#round - beatsOffered);
    this.#beat(now, token);
    if (!isLatest) this.#reconcile(now); // from somewhere else, or from somebody who has missed something
  }

  /** When tick is to be called; 0 for never. */
  next(): number {
    if (!this.#online) return 0;
    if (this.#queue.length > 0 && this.#asking < this.#atOnce) return 1; // at once
    let at = this.#beatAt;
    for (const r of this.#regions) {
      for (const job of r.jobs) if (job.cells > 0) at = Math.min(at, job.at);
      if (this.#asking === 0) continue;
      for (const c of r.cells) if (c.asking) at = Math.min(at, c.askAt);
    }
    return at;
  }

  /** Does what is due. */
  tick(now: number): void {
    if (!this.#online || this.#beatAt === 0) return;
    this.#askMore(now);
    for (const r of this.#regions) {
      for (const c of r.cells) {
        if (this.#asking === 0) break;
        if (c.asking && c.askAt <= now) this.#askNext(now, c);
      }
      for (const job of [Job.demand, Job.send, Job.offer]) {
        const of = r.jobs[job]!; // what is demanded is offered at once
        if (of.cells > 0 && of.at <= now) {
          of.at = now + pace;
          this.#work(now, r, job);
        }
      }
    }
    this.#askMore(now);
    if (this.#beatAt <= now) {
      const token = this.#token();
      const former = this.#last;
      this.#beat(now, token);
      this.#do(Do.beat, "", { data: `${token} ${former}` });
    }
  }

  #do(kind: Effect["kind"], name: string, { stamp = unset, data = "", id = 0 }: { stamp?: Stamp; data?: Payload; id?: number } = {}): void {
    this.#effects.push({ kind, name, stamp, data, id });
  }

  /** A random time below n that is mostly near n, so that of many few are early. */
  #late(n: number): number {
    const parts = 1 << 20;
    let early: number = parts;
    for (let i = 0; i < 4; i++) early = Math.min(early, this.#random(parts) + 1);
    return n - Math.floor((n * early) / parts);
  }

  #add(now: number, name: string): Cell {
    const [first] = name.split(".", 1) as [string];
    const at = place(this.#regions, first);
    let r = this.#regions[at];
    if (r?.name !== first) {
      this.#regions.splice(at, 0, (r = new Region(first)));
      this.#do(Do.hear, first);
    }
    const c = new Cell(name, r!, this.#writer());
    this.#cells.set(name, c);
    r!.add(c);
    if (this.#cells.size === 1) {
      this.#do(Do.hear, "");
      this.#last = "0";
      this.#heard = [];
      this.#beatAt = now + beatFirst + this.#random(1000 * ms);
    }
    return c;
  }

  /** Begins to ask for what is not known, when it is its turn. */
  #ask(now: number, c: Cell): void {
    if (c.known || !this.#online || c.asking || c.queued) return;
    if (this.#asking >= this.#atOnce) {
      c.queued = true;
      this.#queue.push(c);
      return;
    }
    c.askUntil = now + askFor;
    this.#asks(c, true);
    this.#askNext(now, c);
  }

  /** Asks for those whose turn it is. */
  #askMore(now: number): void {
    let n = 0;
    for (let c; this.#asking < this.#atOnce && (c = this.#queue[n]); n++) {
      c.queued = false;
      if (this.#cells.get(c.name) === c) this.#ask(now, c);
    }
    if (n > 0) this.#queue.splice(0, n);
  }

  #asks(c: Cell, asking: boolean): void {
    if (c.asking === asking) return;
    c.asking = asking;
    this.#asking += asking ? 1 : -1;
  }

  /** Sends the question that is due, or gives up. */
  #askNext(now: number, c: Cell): void {
    if (now >= c.askUntil) return this.#learn(now, c);
    c.askAt = Math.min(now + askAgain, c.askUntil);
    this.#do(Do.ask, c.name);
  }

  /** It is known what there is: nothing better will come. */
  #learn(now: number, c: Cell): void {
    const { asking } = c;
    this.#asks(c, false);
    if (c.known) return;
    c.known = true;
    if (asking) {
      c.plan(Job.offer, now + assure + this.#random(assure / 2));
      c.recent = Math.max(c.recent, 1); // as in #reconcile
    }
    if (c.own) this.#assign(now, c);
    else this.#do(Do.changed, c.name, c);
  }

  /** Gives an own value its version, and sends it if that is possible. */
  #assign(now: number, c: Cell): void {
    const { data, deleted, id } = c.own!;
    c.stamp = { counter: ++c.most, writer: c.writer, deleted, again: false };
    c.data = data;
    this.#changed(now, c);
    this.#do(Do.changed, c.name, { stamp: c.stamp, data, id });
    this.#publish(c);
  }

  /** It has another version. */
  #changed(now: number, c: Cell): void {
    c.at = now;
    c.recent = beatsOffered;
    if (c.served) return;
    c.served = true;
    this.#do(Do.serve, c.name);
  }

  /** Sends an own value that has a version. */
  #publish(c: Cell): void {
    if (!c.own || !this.#online || c.stamp.writer !== c.writer) return;
    this.#do(Do.publish, c.name, { stamp: c.stamp, data: c.data, id: c.own.id });
    c.own = undefined;
  }

  #take(now: number, c: Cell, stamp: Stamp, data: Payload): VerdictOf {
    c.most = Math.max(c.most, stamp.counter);
    if (!before(stamp, c.stamp)) c.done(Job.send);
    if (same(stamp, c.stamp)) return Verdict.same;
    if (before(stamp, c.stamp)) return Verdict.older;
    if (c.own && c.known) {
      // It has an older version, and never went.
      this.#do(Do.superseded, c.name, { id: c.own.id });
      c.own = undefined;
    }
    c.stamp = { ...stamp, again: false };
    c.data = data;
    if (!before(stamp, c.want)) c.done(Job.demand);
    this.#changed(now, c);
    return c.own ? Verdict.older : Verdict.newer; // older than that will be
  }

  /**
   * Offers everything, after a while in which others may offer the same, and once more at the next beat: two parts that have just
   * met may be apart again before that, and the beat that both have heard tells of it no more.
   */
  #reconcile(now: number): void {
    for (const r of this.#regions) {
      const at = now + this.#late(offerWithin);
      for (const c of r.cells) {
        c.recent = Math.max(c.recent, 1);
        c.offer(at);
      }
    }
  }

  /** Notes a beat, and when the next is due. */
  #beat(now: number, token: string): void {
    if (this.#heard.length >= beatsKept) this.#heard.shift();
    const another = now - this.#beatOf >= beatLeast / 2; // not one of several that crossed
    if (another) {
      this.#beatOf = now;
      this.#round++;
    }
    this.#heard.push({ token, round: this.#round });
    this.#last = token;
    this.#beatAt = now + beatLeast + this.#late(beatMost - beatLeast);
    const at = now + this.#late(offerWithin);
    for (const r of this.#regions) {
      for (const c of r.cells) {
        if (c.recent === 0 || now - c.at < busy) continue; // that is offered at the next beat
        c.offer(at);
        if (another) c.recent--;
      }
    }
  }

  /** Does a job with as many cells of a region as may be done at a time. */
  #work(now: number, r: Region, job: JobOf): void {
    let text = ""; // of the offer
    let size = 0;
    for (const c of r.cells) {
      if (!c.jobs[job]) continue;
      if (job === Job.demand) {
        r.jobs[job]!.at = now + wantAgain;
        c.offer(now);
        if (++c.wanted >= wantTries || !before(c.stamp, c.want)) c.done(job);
        continue;
      }
      const more = c.name.length + 64 + (job === Job.send ? c.data.length : 0);
      if (size > 0 && size + more > chunk) break;
      size += more;
      c.done(job);
      if (job === Job.send) this.#do(Do.publish, c.name, { stamp: { ...c.stamp, again: true }, data: c.data });
      else if (c.known || c.stamp.counter > 0) text += `${stampText(c.stamp)} ${c.name}\n`; // else it is being asked for
    }
    if (text) this.#do(Do.offer, r.name, { data: text });
  }
}
