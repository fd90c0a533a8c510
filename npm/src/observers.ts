/** Functions that are called with each event, in the order of their registration. */
export class Observers<T> {
  #list: ((event: T) => void)[] = [];

  /** @returns what removes it */
  add(callback: (event: T) => void): () => void {
    this.#list = [...this.#list, callback];
    return () => this.remove(callback);
  }

  remove(callback: (event: T) => void): void {
    this.#list = this.#list.filter((other) => other !== callback);
  }

  get size(): number {
    return this.#list.length;
  }

  /** Calls all; one that throws keeps no other from being called. */
  tell(event: T, failed: (thrown: unknown) => void): void {
    for (const callback of this.#list) {
      try {
        const result: unknown = callback(event);
        if (typeof (result as PromiseLike<unknown>)?.then === "function") (result as PromiseLike<unknown>).then(undefined, failed);
      } catch (thrown) {
        failed(thrown);
      }
    }
  }
}
