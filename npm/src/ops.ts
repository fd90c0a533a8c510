import type { Payload } from "./codec.js";

/** What wasm/ops.go understands; it has the layout of each. */
export const Op = {
  open: 1,
  subject: 2,
  publish: 3,
  subscribe: 4,
  unsubscribe: 5,
  request: 6,
  cancel: 7,
  respond: 8,
  command: 9,
  requestMany: 10,
  drain: 11,
  credentials: 12,
} as const;

export const SubscribeFlag = { subject: 1, ready: 2, serve: 4, arrival: 8, control: 16 } as const;

/** In the timeout of a request: a cancel may follow. */
export const mayCancel = 0x80000000;

export const Command = { connect: 1, connected: 2, reconnect: 3, flush: 4, localNetwork: 5, health: 6 } as const;

const encoder = /* @__PURE__ */ new TextEncoder();
const littleEndian = /* @__PURE__ */ (() => new Uint8Array(new Uint32Array([1]).buffer)[0] === 1)();
const shortText = 200; // characters up to which a loop beats TextEncoder

/** Packs ops into one buffer, in words of 32 bits. */
export class OpWriter {
  #bytes = new Uint8Array(64 << 10);
  #words = new Uint32Array(this.#bytes.buffer);
  /** Bytes written, a multiple of 4. */
  length = 0;

  constructor() {
    if (!littleEndian) throw new Error("this machine is big-endian, which WebAssembly is not");
  }

  /** What was written, until the next call. */
  get written(): Uint8Array {
    return this.#bytes.subarray(0, this.length);
  }

  reset(): void {
    if (this.#bytes.length > 1 << 20) {
      this.#bytes = new Uint8Array(64 << 10);
      this.#words = new Uint32Array(this.#bytes.buffer);
    }
    this.length = 0;
  }

  /** Takes out what was written from `start` to `end`. */
  cut(start: number, end: number): void {
    this.#bytes.copyWithin(start, end, this.length);
    this.length -= end - start;
  }

  word(value: number): void {
    this.#room(4);
    this.#words[this.length >> 2] = value;
    this.length += 4;
  }

  /** Changes the word at a position that was written before. */
  patch(position: number, value: number): void {
    this.#words[position >> 2] = value;
  }

  /** A length and a text. */
  text(text: string): void {
    this.#room(8 + text.length * 3);
    const at = this.length + 4;
    const end = this.#put(at, text);
    this.#words[this.length >> 2] = end - at;
    this.#pad(end);
  }

  /**
   * A message; returns the length of its data and headers in bytes. With `apart` its bytes are
   * not copied: the caller puts them behind what was written, and resets.
   */
  message(subject: number, headers: Uint8Array | undefined, reply: string, data: Payload, apart = false): number {
    const isText = typeof data === "string";
    this.#room(20 + (headers?.length ?? 0) + reply.length * 3 + (isText ? data.length * 3 : apart ? 0 : data.length));
    const at = this.length >> 2;
    const words = this.#words;
    let end = this.length + 16;
    words[at] = subject;
    words[at + 1] = headers ? headers.length : 0;
    if (headers) {
      this.#bytes.set(headers, end);
      end += headers.length;
    }
    let start = end;
    if (reply !== "") end = this.#put(end, reply);
    words[at + 2] = end - start;
    start = end;
    if (isText) {
      end = this.#put(end, data);
    } else if (apart) {
      words[at + 3] = data.length;
      this.length = end;
      return data.length + (headers ? headers.length : 0);
    } else {
      this.#bytes.set(data, end);
      end += data.length;
    }
    words[at + 3] = end - start;
    this.#pad(end);
    return end - start + (headers ? headers.length : 0);
  }

  #put(at: number, text: string): number {
    const bytes = this.#bytes;
    const n = text.length;
    if (n <= shortText) {
      let i = 0;
      for (; i < n; i++) {
        const c = text.charCodeAt(i);
        if (c > 0x7f) break;
        bytes[at + i] = c;
      }
      if (i === n) return at + n;
    }
    return at + encoder.encodeInto(text, bytes.subarray(at)).written;
  }

  #pad(end: number): void {
    const padded = (end + 3) & ~3;
    while (end < padded) this.#bytes[end++] = 0;
    this.length = padded;
  }

  #room(n: number): void {
    const need = this.length + n + 4;
    if (need <= this.#bytes.length) return;
    const bytes = new Uint8Array(Math.max(this.#bytes.length * 2, (need + 0xffff) & ~0xffff));
    bytes.set(this.written);
    this.#bytes = bytes;
    this.#words = new Uint32Array(bytes.buffer);
  }
}
