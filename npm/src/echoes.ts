import type { Payload } from "./codec.js";

/**
 * Own publications whose echoes have not come back yet. Until they do, what arrives was put
 * in order before them by the server, so the value is already newer than that. The same rule
 * as in hub/variable.go.
 */
export class Echoes {
  #waiting: Payload[] = [];
  #head = 0;
  #losses = 0; // of connections, when the last was published: with one more the echo may never come
  #at = 0;

  /** Notes an own publication. */
  expect(payload: Payload, losses: number): void {
    if (losses !== this.#losses) this.#clear();
    this.#losses = losses;
    this.#at = performance.now();
    this.#waiting.push(payload);
  }

  /** Whether echoes are waited for. */
  get some(): boolean {
    return this.#head < this.#waiting.length;
  }

  /** Whether a message that arrives is older than the value. */
  isOld(arrived: Payload, losses: number, timeoutMs: number): boolean {
    if (!this.some) return false;
    if (losses !== this.#losses) {
      this.#clear();
      return false;
    }
    for (let i = this.#head; i < this.#waiting.length; i++) {
      if (!equal(this.#waiting[i]!, arrived)) continue;
      this.#head = i + 1;
      if (this.#head === this.#waiting.length) this.#clear();
      else if (this.#head > 1024) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      return true;
    }
    if (performance.now() - this.#at < timeoutMs) return true;
    this.#clear();
    return false;
  }

  #clear(): void {
    this.#waiting = [];
    this.#head = 0;
  }
}

/** Whether two payloads are the same; a text never equals bytes that are not UTF-8. */
export function equal(a: Payload, b: Payload | undefined): boolean {
  if (typeof a === "string" || typeof b === "string" || b === undefined) return a === b;
  return a.length === b.length && a.every((byte, i) => byte === b[i]);
}
