import { defer } from "./deferred.js";
import { detachable } from "./detach.js";
import { KinopioError, messageOf } from "./errors.js";
import type { Message } from "./message.js";
import { Queue } from "./queue.js";

/** Gets a value, and the message that brought it. An async callback gets the next message when it is done. */
export type SubCallback<T> = (data: T, message: Message<T>) => unknown;

/** Options of a subscription. */
export interface SubOptions {
  /** Joins a queue group: each message goes to one member. */
  queue?: string;
  /** Ends the subscription after so many messages. */
  max?: number;
  /**
   * For values, not for events: while an async callback runs only the latest message is kept
   * for it. Not for wildcards or with `queue`. Default false.
   */
  conflate?: boolean;
  /**
   * "publisher": each publisher's messages come in their order; after a loss they wait for what is
   * missing, at most for the hub's `repair.waitMs`. "arrival": no message waits for one before it;
   * that one comes later, when it has been asked for. Default "publisher"; with `queue`, which keeps
   * no order, always "arrival".
   */
  order?: "publisher" | "arrival";
}

// What may wait for one callback, the same as in hub/mailbox.go. Further messages are dropped.
const waitingMessages = 512 << 10;
const waitingBytes = 64 << 20;

/** A callback on a variable. It lives, on whatever server the hub is, until it is unsubscribed. */
export class Subscription<T = any> {
  #callback: SubCallback<T>;
  #report: (error: KinopioError) => void;
  #leave: () => void;
  #drain: () => Promise<void>;
  #drained: Promise<void> | undefined;
  #inbox: Queue<Message<T>> | undefined; // without a callback: what the loop has not taken yet
  #arrived = defer<void>(); // settled, and replaced, when the inbox changes
  #left: number; // messages still wanted
  #waiting = new Queue<Message<T>>();
  #bytes = 0; // of what waits
  #full = false; // since the last time nothing waited
  #conflate: boolean;
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
    conflate = false,
  ) {
    this.subject = subject;
    detachable(this, Subscription.prototype, report, ["drain"]);
    if (!callback) this.#inbox = new Queue();
    this.#callback = callback ?? ((_, message) => this.#collect(message));
    this.#drain = drain;
    this.#conflate = conflate;
    this.#left = max ?? Infinity;
    this.#report = report;
    this.#leave = leave;
  }

  /** @internal Vue leaves it as it is: private fields are not on its proxies */
  get __v_skip(): true {
    return true;
  }

  /** Resolves when the subscription has ended: unsubscribed, `max` reached, or the hub disposed. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Ends the subscription: the callback is not called again. */
  unsubscribe(): void {
    this.#empty();
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
        const message = inbox.shift()!;
        this.#bytes -= message.size;
        this.#full = false;
        return { done: false, value: message };
      },
      return: async () => {
        this.unsubscribe();
        return { done: true, value: undefined };
      },
    };
    return iterator;
  }

  #collect(message: Message<T>): void {
    if (this.#conflate) {
      this.#inbox!.clear();
      this.#bytes = 0;
    }
    if (!this.#hasRoom(this.#inbox!.length, message)) return;
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
    if (!this.#busy) this.#run(message);
    else this.#keep(message);
    if (last) this.end();
  }

  #keep(message: Message<T>): void {
    if (this.#conflate) this.#empty();
    if (this.#hasRoom(this.#waiting.length, message)) this.#waiting.push(message);
  }

  #empty(): void {
    this.#waiting.clear();
    this.#bytes = 0;
    this.#full = false;
  }

  /** Counts a message that will wait; what is too much is reported once, until there is room. */
  #hasRoom(waiting: number, message: Message<T>): boolean {
    const size = message.size;
    if (waiting < waitingMessages && (this.#bytes + size <= waitingBytes || waiting === 0)) {
      this.#bytes += size;
      return true;
    }
    if (!this.#full) {
      this.#full = true;
      this.#report(new KinopioError("SLOW_CONSUMER", `slow consumer: subscription ${this.subject}: ${waiting} messages (${this.#bytes} bytes) wait for its callback; further ones are dropped`));
    }
    return false;
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
    while (!this.#busy && this.#waiting.length > 0) {
      const message = this.#waiting.shift()!;
      this.#bytes -= message.size;
      if (this.#waiting.length === 0) this.#empty();
      this.#run(message);
    }
    if (this.#over && !this.#busy) this.#closed.resolve();
  }

  #failed(cause: unknown): void {
    this.#report(new KinopioError("CALLBACK_FAILED", `callback of ${this.subject} threw: ${messageOf(cause)}`, { cause }));
  }
}
