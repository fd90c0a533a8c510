import type { Payload } from "./codec.js";
import { decodeText, encode } from "./codec.js";
import { KinopioError } from "./errors.js";
import { packHeaders, type HeadersInput, type MessageHeaders } from "./headers.js";
import { setHeader, stampOf } from "./keep/keeping.js";
import type { Stamp } from "./keep/version.js";
import { Row, type Rows } from "./rows.js";
import type { Session } from "./session.js";

/** A message that arrived. Everything is decoded when it is asked for. */
export class Message<T = any> {
  #session: Session;
  #rows: Rows;
  #row: number;
  #subject: string;
  #value: unknown;
  #decoded = false;
  #payload: Payload | undefined;
  #raw: Uint8Array | undefined;
  #headers: MessageHeaders | undefined;

  /** @internal */
  constructor(session: Session, rows: Rows, row: number, subject: string) {
    this.#session = session;
    this.#rows = rows;
    this.#row = row;
    this.#subject = subject;
  }

  /** @internal Vue leaves it as it is: private fields are not on its proxies */
  get __v_skip(): true {
    return true;
  }

  /** The decoded payload. */
  get data(): T {
    if (!this.#decoded) {
      const { coding } = this.#session;
      if (coding.codec) this.#value = this.#rows.value(this.#row, coding);
      else this.#value = typeof this.payload === "string" ? decodeText(this.payload, coding) : this.payload;
      this.#decoded = true;
    }
    return this.#value as T;
  }

  /** @internal the payload as a text, if it is one */
  get payload(): Payload {
    return (this.#payload ??= this.#rows.text(this.#row) ?? this.#rows.own(this.#row));
  }

  /** @internal the payload's length in bytes */
  get size(): number {
    return this.#rows.size(this.#row);
  }

  /** Where the message was published. */
  get subject(): string {
    return this.#subject || this.#rows.subject(this.#row);
  }

  /** Where an answer is wanted, or "". */
  get reply(): string {
    return this.#rows.reply(this.#row);
  }

  /** The headers: names as they are written, each with its values. */
  get headers(): MessageHeaders {
    if (!this.#headers) {
      const headers: Record<string, readonly string[]> = (this.#headers = this.#rows.headers(this.#row));
      if (this.#rows.kind(this.#row) === Row.set) delete headers[setHeader];
    }
    return this.#headers;
  }

  /** @internal the version, if it sets or deletes the value of its subject */
  get stamp(): Stamp | undefined {
    return this.#rows.kind(this.#row) === Row.set ? stampOf(this.#rows.headers(this.#row)) : undefined;
  }

  /** The payload's bytes. */
  get raw(): Uint8Array {
    return (this.#raw ??= typeof this.payload === "string" ? this.#rows.bytes(this.#row).slice() : this.payload);
  }

  /**
   * Answers the message. Resolves when the answer was handed to the connection.
   *
   * @throws KinopioError NO_REPLY when no answer is wanted or one was given, INVALID_VALUE
   */
  respond(value?: unknown, options: { headers?: HeadersInput } = {}): Promise<void> {
    try {
      return this.answer(encode(value, this.#session.coding), packHeaders(options.headers));
    } catch (error) {
      return this.#session.tended(Promise.reject(error));
    }
  }

  /** @internal */
  answer(data: Payload, headers?: Uint8Array): Promise<void> {
    const id = this.#rows.aux(this.#row);
    if (id === 0) return this.#session.tended(Promise.reject(new KinopioError("NO_REPLY", `message on ${this.subject} wants no answer`)));
    return this.#session.respond(id, data, headers);
  }
}
