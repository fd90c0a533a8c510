import { defer } from "./deferred.js";
import { KinopioError, messageOf } from "./errors.js";
import type { Message } from "./message.js";

/** Gets a value, and the message that brought it. An async callback gets the next message when it is done. */
export type SubCallback<T> = (data: T, message: Message<T>) => unknown;

/** Options of a subscription. */
export interface SubOptions {
  /** Joins a queue group: each message goes to one member. */
  queue?: string;
  /** Ends the subscription after so many messages. */
  max?: number;
}

/** A callback on a variable. It lives, on whatever server the hub is, until it is unsubscribed. */
export class Subscription<T = any> {
  #callback: SubCallback<T>;
  #report: (error: KinopioError) => void;
  #leave: (self: Subscription<T>) => void;
  #left: number; // messages still wanted
  #waiting: Message<T>[] = [];
  #busy = false;
  #over = false;
  #closed = defer<void>();

  /** The subject, which may have wildcards. */
  readonly subject: string;

  /** @internal */
  constructor(
    subject: string,
    callback: SubCallback<T>,
    max: number | undefined,
    report: (error: KinopioError) => void,
    leave: (self: Subscription<T>) => void,
  ) {
    this.subject = subject;
    this.#callback = callback;
    this.#left = max ?? Infinity;
    this.#report = report;
    this.#leave = leave;
  }

  /** Resolves when the subscription has ended: unsubscribed, `max` reached, or the hub disposed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Ends the subscription: the callback is not called again. */
  unsubscribe(): void {
    this.#waiting = [];
    this.end();
  }

  /** @internal takes no more messages; what waits is still delivered */
  end(): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave(this);
    if (!this.#busy) this.#closed.resolve();
  }

  /** @internal */
  deliver(message: Message<T>): void {
    if (this.#over) return;
    const last = --this.#left === 0;
    if (this.#busy) this.#waiting.push(message);
    else this.#run(message);
    if (last) this.end();
  }

  #run(message: Message<T>): void {
    let result: unknown;
    try {
      result = this.#callback(message.data, message);
    } catch (cause) {
      this.#failed(cause);
      return;
    }
    if (typeof (result as PromiseLike<unknown>)?.then !== "function") return;
    this.#busy = true;
    (result as PromiseLike<unknown>).then(
      () => this.#next(),
      (cause) => {
        this.#failed(cause);
        this.#next();
      },
    );
  }

  #next(): void {
    this.#busy = false;
    while (!this.#busy && this.#waiting.length > 0) this.#run(this.#waiting.shift()!);
    if (this.#over && !this.#busy) this.#closed.resolve();
  }

  #failed(cause: unknown): void {
    this.#report(new KinopioError("CALLBACK_FAILED", `callback of ${this.subject} threw: ${messageOf(cause)}`, { cause }));
  }
}
