import type { KinopioError } from "./errors.js";

/**
 * A promise that may be forgotten: a rejection for which nobody waits is not «unhandled», which ends Node
 * programs. Who awaits it gets the rejection as of every promise.
 */
export class Tended<T> extends Promise<T> {
  #awaited = false;

  /** What is made of it is an ordinary promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  override then<A = T, B = never>(resolved?: ((value: T) => A | PromiseLike<A>) | null, rejected?: ((error: any) => B | PromiseLike<B>) | null): Promise<A | B> {
    this.#awaited = true;
    return super.then(resolved, rejected);
  }

  /** Tells of a rejection for which nobody waits once what runs now has ended; that of a disposed hub is no news. */
  orReport(report: (error: KinopioError) => void): this {
    super.then(undefined, (error) => {
      if (this.#awaited || error.code === "DISPOSED") return;
      setTimeout(() => {
        if (!this.#awaited) report(error);
      });
    });
    return this;
  }
}

/** The same promise, which may be forgotten. */
export function tend<T>(promise: Promise<T>, report: (error: KinopioError) => void): Promise<T> {
  return new Tended<T>((resolve, reject) => void promise.then(resolve, reject)).orReport(report);
}
