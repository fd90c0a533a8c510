import {
  answerWithin, askAgain, believe, callEvery, Do, listPause, listWithin, Members, misses, sayWithin, settle, silence, wonder,
} from "./members.js";
import { chunk, chunks, cut, cutEntry, entriesOf, hashOf, isId, most, mostJump, parseSeq } from "./wire.js";

const halfSecond = 5e8;
const never = Infinity;

/** A whole number, as Go reads it; NaN for anything else. */
const whole = (text: string): number => (/^[+-]?\d+$/.test(text) ? Number(text) : NaN);

/** The words at the beginning of a text. */
const wordsOf = (head: string): string[] => head.slice(0, 128).split(" ");

/**
 * Knows who is in one scope, and may be there itself. It is told what happens, with the time since any beginning in
 * nanoseconds, and says in effects what is to be done; next says when it wants to be told the time. The same as
 * internal/presence, which says how it works, and is simulated; this lives what that has lived (conformance/presence.json).
 */
export class Machine extends Members {
  #mismatches = 0; // calls in a row that say other things than are known
  #mismatched = 0; // the first of them
  #tenure = 0; // since when this hub calls
  #rounds = 0; // of its calls
  #listed = 0;
  #listOf = ""; // the list that is being told,
  #onList = new Set<string>(); // and who is on it
  #onWho: Set<string> | undefined; // who is on an answer
  #whoHash = 0; // of them
  #replace = ""; // who calls knows so many, with this hash, and others than this hub

  /** Takes what was said to all. */
  heard(now: number, text: string): void {
    if (!this.active) return;
    const [kind, rest] = cut(text, " ");
    const [head, body] = cut(rest, "\n");
    const words = wordsOf(head);
    const [id] = words;
    if (kind === "here") {
      const first = cutEntry(rest);
      if (first) this.add(now, first.entry, true);
    } else if (!isId(id)) {
      return;
    } else if (kind === "left" && words.length === 2) {
      const seq = parseSeq(words[1]);
      if (seq !== undefined) this.#heardLeft(now, id, seq);
    } else if (kind === "call" && words.length === 4) {
      this.#call(now, words);
    } else if (kind === "gone" && words.length === 1) {
      this.#heardGone(now, body);
    } else if (kind === "say" && words.length === 1) {
      this.#heardSay(now, body);
    } else if (kind === "list" && words.length === 4) {
      this.#heardList(now, words, body);
    }
  }

  #heardLeft(now: number, id: string, seq: number): void {
    if (id === this.id) {
      if (this.joined && seq >= this.seq) this.contradict(now, seq);
      return;
    }
    const one = this.find(id);
    if (one && (seq <= one.seq || seq - one.seq > mostJump)) return;
    this.remove(now, id, seq, true);
  }

  #heardGone(now: number, text: string): void {
    for (const line of text === "" ? [] : text.replace(/\n$/, "").split("\n")) {
      const [id, number] = cut(line, " ");
      const seq = parseSeq(number);
      if (seq === undefined || !isId(id)) return;
      if (id === this.id) {
        if (this.joined) this.contradict(now, seq);
        continue;
      }
      const one = this.find(id);
      if (one && seq >= one.seq && one.goneAt === 0) this.doubt(one, now + believe);
    }
  }

  #heardSay(now: number, text: string): void {
    if (this.joined && `\n${text}`.includes(`\n${this.id}\n`)) this.#sayHere(now);
  }

  /** Says that this hub is here, as others do not know it. */
  #sayHere(now: number): void {
    if (this.hereAt === 0) this.soon(now, settle / 2);
  }

  /** Takes a call: of whom, which, how many and who are known there. */
  #call(now: number, [from, round, number, hash]: string[]): void {
    if (from === this.id) return;
    const known = this.find(from!) !== undefined;
    if (known && this.calling && from! > this.id) {
      this.callAt = Math.min(this.callAt, now + this.random(halfSecond)); // who hears that goes on no more
    } else if (known) {
      this.yield();
      this.heardCall(now, from!);
    }
    const count = this.others.length + (this.joined ? 1 : 0);
    const agrees = number === String(count) && hash === this.hash.toString(16);
    let doubt = "";
    if (!known && this.joined) {
      doubt = " ?";
    } else if (!known) {
      this.ask(now);
    } else if (now - this.changed >= settle && !agrees && count < most) {
      if (++this.#mismatches === 1) this.#mismatched = now;
      const lasts = now - this.#mismatched >= 2 * settle;
      if (this.joined && lasts) {
        doubt = " ?";
      } else if (this.#mismatches === 1 || lasts) {
        this.#replace = lasts ? `${number} ${hash}` : "";
        this.ask(now);
      }
    } else {
      this.#mismatches = 0;
    }
    if (this.joined) this.do(Do.roll, "", `${this.id} ${this.seq} ${from} ${round}${doubt}`);
  }

  /** Takes what was said to who calls. */
  heardRoll(now: number, text: string): void {
    const words = wordsOf(text);
    const [id, number, caller, , doubt] = words;
    if (words.length < 4 || words.length > 5 || !isId(id) || caller !== this.id || !this.calling || id === this.id) return;
    const seq = parseSeq(number);
    if (seq === undefined) return;
    const one = this.find(id);
    if (one) {
      one.heard = now;
      one.misses = 0;
    }
    if (one ? one.seq < seq : this.others.length + this.unknown.size < most) {
      this.unknown.add(id);
      if (this.sayAt === 0) this.sayAt = now + sayWithin;
    }
    if (doubt === "?" && this.listAt === 0) {
      this.listAt = Math.max(now + listWithin, this.#listed + listPause, this.#tenure + callEvery + answerWithin);
    }
  }

  /** Takes an answer to the question who is here. @returns whether it is the last one */
  listed(now: number, text: string): boolean {
    const [head, body] = cut(text, "\n");
    const [kind, from, part, parts, more] = wordsOf(head);
    if (kind !== "who" || parts === undefined || more !== undefined || !isId(from)) return false;
    if (part === "1") {
      this.#onWho = new Set();
      this.#whoHash = 0;
    }
    for (const entry of entriesOf(body)) {
      this.add(now, entry, false);
      if (!this.#onWho || this.#onWho.has(entry.id)) continue;
      this.#onWho.add(entry.id);
      this.#whoHash = (this.#whoHash ^ hashOf(entry)) >>> 0;
    }
    if (!this.joined) {
      this.called = now; // who answers could be asked, too
      this.wondered = false;
    }
    const last = part === parts;
    if (from === this.id) {
      this.askAt = Math.min(this.askAt, now + askAgain / 2); // it has been asked itself
    } else if (last && this.asking) {
      if (this.#replace !== "" && this.#replace === `${this.#onWho?.size ?? 0} ${this.#whoHash.toString(16)}`) {
        this.#keep(now, this.#onWho ?? new Set()); // these are all, says who calls, too
      }
      this.#onWho = undefined;
      this.#replace = "";
      this.learned();
    }
    return last;
  }

  /** Takes a part of what who calls knows. Who is on no part of it is not here. */
  #heardList(now: number, [from, token, partText, partsText]: string[], body: string): void {
    const name = `${from} ${token}`;
    const part = whole(partText!);
    const parts = whole(partsText!);
    if (!(part >= 1 && part <= parts && parts <= most) || from === this.id) return;
    if (part === 1) {
      this.#listOf = name;
      this.#onList = new Set([from!]);
    }
    for (const entry of entriesOf(body)) {
      this.add(now, entry, false);
      if (this.#listOf === name) this.#onList.add(entry.id);
    }
    if (part !== parts || this.#listOf !== name || this.caller !== from || this.calling) return;
    this.#keep(now, this.#onList);
    if (this.joined && !this.#onList.has(this.id)) this.#sayHere(now);
    this.#listOf = "";
    this.#onList = new Set();
    this.#mismatches = 0;
  }

  /** Takes those off who are not on a list, and have said nothing lately. */
  #keep(now: number, list: ReadonlySet<string>): void {
    for (let i = 0; i < this.others.length; ) {
      const { id, seq, heard, since } = this.others[i]!;
      if (!list.has(id) && now - Math.max(heard, since) > 2 * settle) this.remove(now, id, seq, false);
      else i++;
    }
  }

  /** When tick is to be called; 0 for never. */
  next(): number {
    if (!this.online || !this.active) return 0;
    const or = (at: number) => (at === 0 ? never : at);
    let at = this.called + silence;
    if (this.joined) at = this.callAt;
    else if (this.#wonders) at = this.called + wonder;
    else if (this.asking) at = this.askAt;
    at = Math.min(at, this.asking ? this.askAt : never, or(this.countAt), or(this.sayAt), or(this.listAt), or(this.hereAt));
    if (this.doubted > 0) for (const { goneAt } of this.others) at = Math.min(at, or(goneAt));
    return at;
  }

  /** Does what is due. */
  tick(now: number): void {
    if (!this.online || !this.active) return;
    if (this.asking && this.askAt <= now) {
      if (now >= this.askUntil) {
        this.learned();
      } else {
        this.askAt = Math.min(now + askAgain, this.askUntil);
        this.do(Do.ask);
      }
    }
    if (this.hereAt !== 0 && this.hereAt <= now) this.here();
    this.#believeGone(now);
    if (this.joined) {
      this.#tickMember(now);
    } else if (this.#wonders) {
      if (now < this.called + wonder) return;
      this.wondered = true;
      this.ask(now);
    } else if (now >= this.called + silence && !this.asking) {
      this.#nobody(now);
    }
  }

  /** Whether this hub, which is no member, asks before it believes that nobody is here. */
  get #wonders(): boolean {
    return this.others.length > 0 && !this.wondered;
  }

  /** Nobody calls, so that nobody is here but those who have come since. */
  #nobody(now: number): void {
    this.called = now;
    this.wondered = false;
    for (let i = 0; i < this.others.length; ) {
      const { heard, since } = this.others[i]!;
      const last = Math.max(heard, since);
      if (last + silence <= now) {
        this.take(now, i);
      } else {
        this.called = Math.min(this.called, last);
        i++;
      }
    }
  }

  #believeGone(now: number): void {
    for (let i = 0; this.doubted > 0 && i < this.others.length; ) {
      const { id, seq, goneAt } = this.others[i]!;
      if (goneAt !== 0 && goneAt <= now) this.remove(now, id, seq, false);
      else i++;
    }
  }

  #tickMember(now: number): void {
    if (this.sayAt !== 0 && this.sayAt <= now) this.#sayUnknown();
    if (this.listAt !== 0 && this.listAt <= now) {
      if (this.unknown.size > 0) this.listAt = this.sayAt + settle;
      else this.#list(now);
    }
    if (this.countAt !== 0 && this.countAt <= now) this.#count(now);
    if (this.callAt <= now) this.#callAll(now);
  }

  /** Asks all who is here. */
  #callAll(now: number): void {
    if (!this.calling) {
      for (const one of this.others) one.misses = 0;
      this.#tenure = now;
      return this.beginCalling(now);
    }
    this.#rounds++;
    this.called = now;
    this.caller = this.id;
    this.callAt = now + callEvery;
    this.countAt = now + answerWithin;
    this.do(Do.say, "", `call ${this.id} ${this.#rounds} ${this.others.length + 1} ${this.hash.toString(16)}`);
  }

  /** Counts the answers to a call. */
  #count(now: number): void {
    this.countAt = 0;
    const head = `gone ${this.id}`;
    let text = head;
    for (const one of this.others) {
      if (one.heard >= this.called || one.since >= this.called) {
        one.misses = 0;
      } else if (++one.misses < misses) {
        this.callAt = now;
      } else {
        text += `\n${one.id} ${one.seq}`;
        one.misses = misses - 1;
        this.doubt(one, now + believe);
        if (text.length > chunk) {
          this.do(Do.say, "", text);
          text = head;
        }
      }
    }
    if (text !== head) this.do(Do.say, "", text);
  }

  #sayUnknown(): void {
    this.sayAt = 0;
    if (this.unknown.size > 0) this.do(Do.say, "", `say ${this.id}\n${[...this.unknown].sort().join("\n")}\n`);
    this.unknown.clear();
  }

  /** Tells all of all. */
  #list(now: number): void {
    this.listAt = 0;
    this.#listed = now;
    for (const text of chunks(this.told, (part, parts) => `list ${this.id} ${this.#rounds} ${part} ${parts}`)) this.do(Do.say, "", text);
  }
}
