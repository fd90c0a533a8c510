/** Functions that are called with each event, in the order of their registration. */
export class Observers<T> {
  #list: { callback: (event: T) => void }[] = [];

  /** @returns what removes it */
  add(callback: (event: T) => void): () => void {
    const one = { callback };
    this.#list = [...this.#list, one];
    return () => void (this.#list = this.#list.filter((other) => other !== one));
  }

  /** Removes a callback; one that was registered several times is registered once less. */
  remove(callback: (event: T) => void): void {
    const last = this.#list.findLastIndex((one) => one.callback === callback);
    this.#list = this.#list.filter((_, i) => i !== last);
  }

  get size(): number {
    return this.#list.length;
  }

  /** Calls all; one that throws keeps no other from being called. */
  tell(event: T, failed: (thrown: unknown) => void): void {
    for (const { callback } of this.#list) callBack(callback, event, failed);
  }
}

/** Calls back; what is thrown, or what the promise rejects with that comes of it, goes to `failed`. */
export function callBack<T>(callback: (event: T) => unknown, event: T, failed: (thrown: unknown) => void): void {
  try {
    const result = callback(event);
    if (typeof (result as PromiseLike<unknown>)?.then === "function") (result as PromiseLike<unknown>).then(undefined, failed);
  } catch (thrown) {
    failed(thrown);
  }
}
