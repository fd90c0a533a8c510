import { encode, type Coding, type Payload } from "./codec.js";
import { defer } from "./deferred.js";
import { detachable } from "./detach.js";
import { KinopioError, messageOf } from "./errors.js";
import { packHeaders } from "./headers.js";
import type { Message } from "./message.js";
import { Queue } from "./queue.js";

/** Answers a request: what it returns is the answer, undefined the empty one. */
export type Handler<T = any, R = any> = (data: T, message: Message<T>) => R | Promise<R>;

/** Options of a service. */
export interface ServeOptions {
  /** The queue group that shares the requests. Default `<subject>.service`. */
  queue?: string;
  /** Requests that are handled at a time. Default 64. */
  concurrency?: number;
}

// What may wait for the handlers, as for one callback. Who asks beyond that is told so.
const waitingMessages = 512 << 10;
const waitingBytes = 64 << 20;

/** A function that others can call. It lives until it is unsubscribed. */
export class Service<T = any> {
  #handler: Handler<T>;
  #coding: Coding;
  #concurrency: number;
  #report: (error: KinopioError) => void;
  #leave: () => void;
  #drain: () => Promise<void>;
  #flush: () => Promise<void>;
  #drained: Promise<void> | undefined;
  #running = 0;
  #waiting = new Queue<Message<T>>();
  #bytes = 0; // of what waits
  #full = false; // since the last time nothing waited
  #over = false;
  #closed = defer<void>();

  /** What it serves. */
  readonly subject: string;

  /** @internal */
  constructor(
    subject: string,
    handler: Handler<T>,
    coding: Coding,
    concurrency: number,
    report: (error: KinopioError) => void,
    leave: () => void,
    drain: () => Promise<void>,
    flush: () => Promise<void>,
  ) {
    this.subject = subject;
    detachable(this, Service.prototype, report, ["drain"]);
    this.#handler = handler;
    this.#coding = coding;
    this.#concurrency = concurrency;
    this.#report = report;
    this.#leave = leave;
    this.#drain = drain;
    this.#flush = flush;
  }

  /** @internal Vue leaves it as it is: private fields are not on its proxies */
  get __v_skip(): true {
    return true;
  }

  /** Resolves when the service has ended and every request that it took is answered. */
  get closed(): Promise<void> {
    return this.#closed.promise;
  }

  /** Takes no more requests; those that it has are answered. */
  unsubscribe(): void {
    if (this.#over) return;
    this.#over = true;
    this.#leave();
    if (this.#running === 0) this.#closed.resolve();
  }

  /**
   * Ends the service so that nobody waits in vain: resolves when everything that the server has sent to it is handled,
   * and the server has the answers. Handlers may take as long as they take.
   *
   * @throws KinopioError DISCONNECTED, DISPOSED
   */
  drain(): Promise<void> {
    this.#drained ??= (async () => {
      try {
        if (!this.#over) await this.#drain();
      } finally {
        this.unsubscribe();
      }
      await this.closed;
      await this.#flush();
    })();
    return this.#drained;
  }

  /** @internal the hub is gone: nothing can be answered */
  abandon(): void {
    this.#waiting.clear();
    this.#bytes = 0;
    this.unsubscribe();
    this.#closed.resolve();
  }

  /** @internal */
  deliver(message: Message<T>): void {
    if (this.#running < this.#concurrency) {
      void this.#run(message);
      return;
    }
    const { size } = message;
    const waiting = this.#waiting.length;
    if (waiting < waitingMessages && (this.#bytes + size <= waitingBytes || waiting === 0)) {
      this.#bytes += size;
      this.#waiting.push(message);
      return;
    }
    if (!this.#full) {
      this.#full = true;
      this.#report(new KinopioError("SLOW_CONSUMER", `slow consumer: service ${this.subject}: ${waiting} requests (${this.#bytes} bytes) wait for its handlers; further ones are refused`));
    }
    void this.#answerError(message, Object.assign(new Error(`too many requests wait for ${this.subject}`), { serviceCode: "503" }));
  }

  async #run(message: Message<T>): Promise<void> {
    this.#running++;
    try {
      await this.#answer(message);
    } finally {
      this.#running--;
      const next = this.#waiting.shift();
      if (next) this.#bytes -= next.size;
      if (this.#waiting.length === 0) this.#full = false;
      if (next) void this.#run(next);
      else if (this.#over && this.#running === 0) this.#closed.resolve();
    }
  }

  async #answer(message: Message<T>): Promise<void> {
    let answer: Payload;
    try {
      answer = encode(await this.#handler(message.data, message), this.#coding);
    } catch (thrown) {
      // The requester gets to know; but of a value that cannot be sent, so should who returned it.
      if (thrown instanceof KinopioError && thrown.code === "INVALID_VALUE") this.#failed(thrown);
      return this.#answerError(message, thrown);
    }
    if (message.reply === "") return; // published, not requested
    try {
      await message.answer(answer);
    } catch (thrown) {
      this.#failed(thrown);
      if ((thrown as KinopioError).code === "MESSAGE_TOO_LARGE") await this.#answerError(message, thrown);
    }
  }

  async #answerError(message: Message<T>, thrown: unknown): Promise<void> {
    if (message.reply === "") return;
    try {
      await message.answer(...errorReply(thrown));
    } catch (cause) {
      this.#failed(cause);
    }
  }

  #failed(cause: unknown): void {
    const code = (cause as KinopioError).code;
    if (code === "DISPOSED") return;
    this.#report(new KinopioError(code ?? "UNKNOWN", `service ${this.subject}: ${messageOf(cause)}`, { cause }));
  }
}

/** The reply of a handler that threw: JSON, and the headers of NATS's service convention. */
export function errorReply(thrown: unknown): [data: string, headers: Uint8Array] {
  const message = messageOf(thrown);
  const { serviceCode, code } = (thrown ?? {}) as { serviceCode?: string; code?: unknown };
  return [
    JSON.stringify({ error: true, message }),
    packHeaders({
      "Nats-Service-Error": message.replace(/\p{Cc}/gu, " "),
      "Nats-Service-Error-Code": serviceCode ?? (typeof code === "number" ? String(code) : "500"),
    })!,
  ];
}
