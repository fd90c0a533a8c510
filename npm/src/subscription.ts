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
  #leave: () => void;
  #drain: () => Promise<void>;
  #drained: Promise<void> | undefined;
  #inbox: Message<T>[] | undefined; // without a callback: what the loop has not taken yet
  #arrived = defer<void>(); // settled, and replaced, when the inbox changes
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
    callback: SubCallback<T> | undefined,
    max: number | undefined,
    report: (error: KinopioError) => void,
    leave: () => void,
    drain: () => Promise<void>,
  ) {
    this.subject = subject;
    if (!callback) this.#inbox = [];
    this.#callback = callback ?? ((_, message) => this.#collect(message));
    this.#drain = drain;
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
    this.#leave();
    this.#wake();
    if (!this.#busy) this.#closed.resolve();
  }

  /**
   * Ends the subscription without losing what the server has already sent to it: resolves when
   * the last of that has been called back.
   *
   * @throws KinopioError DISPOSED
   */
  drain(): Promise<void> {
    if (this.#over) return this.closed;
    this.#drained ??= this.#drain().then(
      () => {
        this.end();
        return this.closed;
      },
      (error) => {
        this.unsubscribe();
        throw error;
      },
    );
    return this.#drained;
  }

  /**
   * The messages of a subscription without a callback, in order, until it ends. Leaving the
   * loop ends it.
   *
   * @throws KinopioError INVALID_CONFIG when there is a callback
   */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message<T>> {
    const inbox = this.#inbox;
    if (!inbox) throw new KinopioError("INVALID_CONFIG", `the subscription of ${this.subject} has a callback: call sub() without one to iterate it`);
    const iterator: AsyncIterableIterator<Message<T>> = {
      [Symbol.asyncIterator]: () => iterator,
      next: async () => {
        while (inbox.length === 0) {
          if (this.#over) return { done: true, value: undefined };
          await this.#arrived.promise;
        }
        return { done: false, value: inbox.shift()! };
      },
      return: async () => {
        this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
    return iterator;
  }

  #collect(message: Message<T>): void {
    this.#inbox!.push(message);
    this.#wake();
  }

  #wake(): void {
    this.#arrived.resolve();
    this.#arrived = defer<void>();
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
