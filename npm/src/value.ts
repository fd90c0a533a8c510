import type { Payload } from "./codec.js";

/** A message of this hub's that is not in order yet. */
interface Own {
  id: number;
  data: Payload | undefined; // undefined: it deletes the value
  echo: boolean; // it is expected to be heard
  gone: boolean; // a connection has it
  set: boolean; // it has a version, as has whatever may take its place
}

// Of what is pending the oldest are forgotten beyond so many messages, or bytes if there is more than one. An echo is
// looked for among the first echoWithin, as all come in order.
const pendingKept = 1024;
const pendingBytes = 64 << 10;
const echoWithin = 16;

/**
 * Decides what the value of a variable is: what this hub has sent last, until servers have put it in order, and then
 * what was heard last. The same as hub/value.go, which says why; both play conformance/values.json.
 */
export class ValueRule {
  #last: Payload | undefined; // that was heard
  #settled: Payload | undefined; // the value beside what is pending
  #pending: Own[] = []; // in the order in which they were sent, from #head on
  #head = 0;
  #bytes = 0;

  /** The value; undefined before the first. */
  get now(): Payload | undefined {
    return this.pending > 0 ? this.#pending[this.#pending.length - 1]!.data : this.#settled;
  }

  /** How many own messages are not in order yet. */
  get pending(): number {
    return this.#pending.length - this.#head;
  }

  /** The highest id that is pending, 0 if there is none. */
  get latest(): number {
    return this.pending > 0 ? this.#pending[this.#pending.length - 1]!.id : 0;
  }

  /**
   * This hub publishes data, of which it will hear if `echo`. Ids grow; messages that travel together have one.
   * @returns what was forgotten for it
   */
  sent(data: Payload, echo: boolean, id: number): Payload | undefined {
    return this.#add({ id, data, echo, gone: false, set: false });
  }

  /** This hub sets the value, or without data deletes it. Of several that were set only the last counts. */
  set(data: Payload | undefined, echo: boolean, id: number): void {
    this.#remove((own) => own.set);
    this.#add({ id, data, echo, gone: false, set: true });
  }

  #add(own: Own): Payload | undefined {
    let forgotten: Payload | undefined;
    this.#pending.push(own);
    this.#bytes += sizeOf(own);
    while (this.pending > pendingKept || (this.#bytes > pendingBytes && this.pending > 1)) {
      forgotten = this.#pending[this.#head]!.data;
      this.#drop(1);
    }
    return forgotten;
  }

  /** A connection has the messages. */
  went(id: number): void {
    for (let i = this.#pending.length - 1; i >= this.#head && this.#pending[i]!.id >= id; i--) {
      if (this.#pending[i]!.id === id) this.#pending[i]!.gone = true;
    }
    this.#settle();
  }

  /** The messages do not go out. */
  failed(id: number): void {
    this.#remove((own) => own.id === id);
    this.#settle();
  }

  /** The server takes none of these messages. */
  denied(): void {
    this.#drop(this.pending);
    this.#settled = this.#last;
  }

  /** A message has come. @returns whether it is not known if it is older than the value, until an echo has come */
  heard(data: Payload): boolean {
    return this.echoed(data);
  }

  /** Is {@link heard} for what was set, or deleted, and is no newer than what is known: the hub's own, mostly. */
  echoed(data: Payload | undefined): boolean {
    this.#last = this.#settled = data;
    if (this.pending === 0) return false;
    const end = Math.min(this.#pending.length, this.#head + echoWithin);
    for (let i = this.#head; i < end; i++) {
      if (this.#pending[i]!.echo && equal(this.#pending[i]!.data, data)) {
        this.#drop(i + 1 - this.#head);
        this.#settle();
        return false;
      }
    }
    for (let i = this.#head; i < this.#pending.length; i++) {
      if (this.#pending[i]!.echo && this.#pending[i]!.gone) return true;
    }
    return false;
  }

  /** What was set has a later version than all that was set before. What this hub has published stays as it is. */
  place(data: Payload | undefined): void {
    this.#last = this.#settled = data;
    this.#remove((own) => own.set);
  }

  /** What went up to `id` will not be heard any more. */
  passed(id: number): void {
    this.#remove((own) => own.id <= id && own.gone);
    this.#settle();
  }

  /** The connection broke. What it had may have arrived. */
  lost(): void {
    for (let i = this.#head; i < this.#pending.length; i++) {
      if (this.#pending[i]!.gone) this.#settled = this.#pending[i]!.data;
    }
    this.#remove((own) => own.gone);
  }

  /** Begins anew. */
  forget(): void {
    this.#drop(this.pending);
    this.#last = this.#settled = undefined;
  }

  /** Takes what went and comes back to nobody off the beginning. */
  #settle(): void {
    let n = 0;
    for (let own; (own = this.#pending[this.#head + n])?.gone && !own.echo; n++) this.#settled = own.data;
    this.#drop(n);
  }

  #drop(n: number): void {
    for (let i = this.#head; i < this.#head + n; i++) {
      this.#bytes -= sizeOf(this.#pending[i]!);
      this.#pending[i]!.data = "";
    }
    this.#head += n;
    if (this.#head === this.#pending.length || this.#head >= pendingKept) {
      this.#pending.splice(0, this.#head);
      this.#head = 0;
    }
  }

  #remove(which: (own: Own) => boolean): void {
    const kept = this.#pending.slice(this.#head).filter((own) => !which(own));
    this.#bytes = kept.reduce((bytes, own) => bytes + sizeOf(own), 0);
    this.#pending = kept;
    this.#head = 0;
  }
}

const sizeOf = (own: Own): number => own.data?.length ?? 0;

/** Whether two payloads are the same; a text never equals bytes that are not UTF-8. */
export function equal(a: Payload | undefined, b: Payload | undefined): boolean {
  if (a === undefined || b === undefined || typeof a === "string" || typeof b === "string") return a === b;
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}
