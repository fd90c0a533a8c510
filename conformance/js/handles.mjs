// What steps make and later steps speak of by a name.
import { display, matches, same } from "./values.mjs";

/** Something that changes, and that may be waited for. */
export class Changing {
  #waiting = new Set();

  changed() {
    for (const look of [...this.#waiting]) look();
  }

  /** Resolves when `check` returns something; rejects with what `late` says after `ms`. */
  until(check, ms, late) {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = check();
        if (found === undefined) return;
        end();
        resolve(found);
      };
      const end = () => {
        clearTimeout(timer);
        this.#waiting.delete(look);
      };
      const timer = setTimeout(() => {
        end();
        reject(new Error(late()));
      }, ms);
      this.#waiting.add(look);
      look();
    });
  }
}

/** Records in the order in which they came. */
export class Box extends Changing {
  records = [];

  put(record) {
    this.records.push(record);
    this.changed();
  }

  /** Waits for n records and removes them. */
  take(n, ms) {
    return this.until(
      () => (this.records.length >= n ? this.records.splice(0, n) : undefined),
      ms,
      () => `got only ${this.records.length} of ${n}: ${list(this.records)}`,
    );
  }

  /** Compares what came with what a step wants. */
  async gets(step, ms) {
    if ("until" in step) return this.#increases(step, ms);
    const wants = [...(step.messages ?? []), ...(step.values ?? []).map((value) => ({ value }))];
    if (step.range) for (let i = step.range[0]; i < step.range[1]; i++) wants.push({ value: i });
    if (wants.length === 0) throw new Error("want values, messages, range or until");
    const got = await this.take(wants.length, ms);
    wants.forEach((want, i) => {
      if (step.anyOrder) {
        const found = got.findIndex((record) => holds(() => matches(want, record)));
        if (found < 0) throw new Error(`got ${list(got)}, which lacks ${display(want)}`);
        got.splice(found, 1);
        return;
      }
      try {
        matches(want, got[i]);
      } catch (error) {
        throw new Error(`message ${i + 1} of ${wants.length}: ${error.message}`);
      }
    });
  }

  /** Takes numbers, each greater than the one before, until the last value comes; with `all` every number from 0. */
  async #increases({ until, all }, ms) {
    for (let last = -1; ; ) {
      const [{ value }] = await this.take(1, ms);
      if (holds(() => same(value, until))) return;
      if (!(typeof value === "number" && value > last)) {
        throw new Error(`got ${display(value)} after ${last}, want increasing numbers until ${display(until)}`);
      }
      if (all && value !== last + 1) throw new Error(`${last + 1} is lost: got ${value} after ${last}`);
      last = value;
    }
  }
}

/** Holds handlers until it is released, and counts them. */
export class Gate extends Changing {
  running = 0;
  peak = 0;
  #open;
  #opened = new Promise((resolve) => (this.#open = resolve));

  async hold() {
    this.running++;
    this.peak = Math.max(this.peak, this.running);
    this.changed();
    await this.#opened;
    this.running--;
    this.changed();
  }

  release() {
    this.#open();
  }

  runs(n, ms) {
    return this.until(() => (this.running === n ? true : undefined), ms, () => `${this.running} handlers run, want ${n}`);
  }
}

export function list(records) {
  return display(records.slice(0, 10).map((r) => (r.value === undefined && r.bytes ? new TextDecoder().decode(r.bytes) : (r.value ?? null))));
}

function holds(check) {
  try {
    check();
    return true;
  } catch {
    return false;
  }
}
