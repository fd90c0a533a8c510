/** Something that is held for a while after it was used. */
export interface Leased {
  /** The while is over. */
  lapse(): void;
}

const least = 0.1; // of a lease: leases that are due within so much of the shortest end together

/** Holds what was used lately, until it lapses. */
export class Leases {
  #due = new Map<Leased, number>();
  #step: number;
  #at = Infinity; // when the timer fires
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  /** @param shortest the shortest lease, in milliseconds */
  constructor(shortest: number) {
    this.#step = shortest * least;
  }

  /** Holds `one` for `ms` from now on. If it is held already, that counts only with `anew`. */
  hold(one: Leased, ms: number, anew = false): void {
    if (this.#ended || (!anew && this.#due.has(one))) return;
    const at = performance.now() + ms;
    this.#due.set(one, at);
    if (at < this.#at) this.#arm(at);
  }

  /** Lets go of everything, without a word. */
  end(): void {
    this.#ended = true;
    this.#due.clear();
    clearTimeout(this.#timer);
  }

  #arm(at: number): void {
    clearTimeout(this.#timer);
    this.#at = at;
    const wait = Math.min(Math.max(at - performance.now(), this.#step), 0x7fffffff);
    this.#timer = setTimeout(() => this.#sweep(), wait);
    (this.#timer as { unref?(): void }).unref?.(); // it keeps no Node process alive
  }

  #sweep(): void {
    this.#at = Infinity;
    const until = performance.now() + this.#step;
    const over: Leased[] = [];
    let next = Infinity;
    for (const [one, at] of this.#due) {
      if (at > until) {
        next = Math.min(next, at);
      } else {
        this.#due.delete(one);
        over.push(one);
      }
    }
    for (const one of over) one.lapse();
    if (next < this.#at && !this.#ended) this.#arm(next);
  }
}
