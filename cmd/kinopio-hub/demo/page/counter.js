// Totals over all streams, as the page shows them.
export const totals = { received: 0, lost: 0, repeated: 0, disordered: 0 };

/**
 * Checks one numbered stream: 1 = 2 = 3 = … Numbers count up by one; between two of them stands
 * exactly one payload "=", so that lost and repeated ones are known although they are all alike.
 * An "=" that slipped past a number counts as one lost and one repeated.
 */
export class StreamCounter {
  #last = 0; // highest number seen; 0 before the first
  #alike = 0; // payloads "=" since then
  #missing = new Set(); // numbers that were skipped, and may still come

  /** The highest number so far. */
  get last() {
    return this.#last;
  }

  /** Counts one payload. */
  take(value) {
    totals.received++;
    if (typeof value !== "number") {
      this.#alike++;
      return;
    }
    if (this.#last === 0) {
      this.#begin(value);
    } else if (value > this.#last) {
      this.#advance(value);
    } else if (this.#missing.delete(value)) {
      totals.lost--;
      totals.disordered++;
    } else {
      totals.repeated++;
    }
  }

  #begin(number) {
    this.#last = number;
    this.#alike = 0;
  }

  #advance(number) {
    const steps = number - this.#last;
    for (let n = this.#last + 1; n < number && this.#missing.size < 100_000; n++) this.#missing.add(n);
    totals.lost += steps - 1;
    const short = steps - this.#alike;
    if (short > 0) totals.lost += short;
    else totals.repeated -= short;
    this.#begin(number);
  }
}
