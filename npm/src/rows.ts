import { decode, decodeText, textOf, type Coding } from "./codec.js";
import { KinopioError, type KinopioErrorCode } from "./errors.js";
import { unpackHeaders, type MessageHeaders } from "./headers.js";

/** The kinds of rows that wasm/rowbuffer.go writes; it has their meaning. */
export const Row = {
  message: 1,
  reply: 2,
  failed: 3,
  ack: 4,
  ackFailed: 5,
  ready: 6,
  refused: 7,
  done: 8,
  state: 9,
  move: 10,
  error: 11,
  log: 12,
  closed: 13,
  discovery: 14,
  health: 15,
  ask: 16,
  missing: 17,
  denied: 18,
  set: 19,
  link: 20,
} as const;

/** Words of a row. */
export const rowWords = 8;
const empty = /* @__PURE__ */ new Uint8Array(0);
const noHeaders: MessageHeaders = /* @__PURE__ */ Object.freeze(/* @__PURE__ */ Object.create(null));

/**
 * What one run of Go had for one hub: a table of rows, the payloads one after the other, and
 * the names one after the other. All text is decoded at once, where it is ASCII.
 */
export class Rows {
  /** The number of rows. */
  readonly length: number;
  readonly #words: Uint32Array;
  readonly #data: Uint8Array | Uint8Array[];
  readonly #meta: Uint8Array;
  #text: string | null | undefined; // all payloads as one text; null if offsets do not fit it
  #metaText: string | null | undefined;

  /** All three are copies that nobody else changes; `data` are all payloads, or one array for each. */
  constructor(words: Uint32Array, data: Uint8Array | Uint8Array[], meta: Uint8Array) {
    this.length = words.length / rowWords;
    this.#words = words;
    this.#data = data;
    this.#meta = meta;
  }

  kind(row: number): number {
    return this.#words[row * rowWords]!;
  }
  id(row: number): number {
    return this.#words[row * rowWords + 1]!;
  }
  aux(row: number): number {
    return this.#words[row * rowWords + 2]!;
  }

  /** The payload's length in bytes. */
  size(row: number): number {
    return this.#words[row * rowWords + 4]!;
  }

  /** The payload's bytes, as a view. */
  bytes(row: number): Uint8Array {
    if (Array.isArray(this.#data)) return this.#data[row]!;
    const offset = this.#words[row * rowWords + 3]!;
    const length = this.#words[row * rowWords + 4]!;
    return length === 0 ? empty : this.#data.subarray(offset, offset + length);
  }

  /** Bytes that only the caller has. To be asked for once, and nothing of the row's payload after that. */
  own(row: number): Uint8Array {
    return Array.isArray(this.#data) ? this.#data[row]! : this.bytes(row).slice();
  }

  /** The payload's text, undefined if it is not valid UTF-8. */
  text(row: number): string | undefined {
    if (Array.isArray(this.#data)) return textOf(this.#data[row]!);
    const offset = this.#words[row * rowWords + 3]!;
    const length = this.#words[row * rowWords + 4]!;
    if (length === 0) return "";
    if (this.#text === undefined) this.#text = ascii(this.#data);
    return this.#text === null ? textOf(this.#data.subarray(offset, offset + length)) : this.#text.substring(offset, offset + length);
  }

  /** The payload's value. */
  value(row: number, coding: Coding): unknown {
    if (coding.codec) return decode(this.bytes(row).slice(), coding);
    const text = this.text(row);
    return text === undefined ? this.own(row) : decodeText(text, coding);
  }

  subject(row: number): string {
    return this.#name(row, 0, this.#words[row * rowWords + 6]! & 0xffff);
  }
  reply(row: number): string {
    const names = this.#words[row * rowWords + 6]!;
    return this.#name(row, names & 0xffff, names >>> 16);
  }

  hasHeaders(row: number): boolean {
    return this.#words[row * rowWords + 7] !== 0;
  }
  headers(row: number): MessageHeaders {
    const length = this.#words[row * rowWords + 7]!;
    if (length === 0) return noHeaders;
    const offset = this.#notesAt(row);
    return unpackHeaders(this.#meta.subarray(offset, offset + length));
  }

  /** The text of a row without a message. */
  note(row: number): string {
    const offset = this.#notesAt(row);
    return textOf(this.#meta.subarray(offset, offset + this.#words[row * rowWords + 7]!)) ?? "";
  }

  /** The error of a row that has one. */
  error(row: number, coding: Coding): KinopioError {
    const [code, message, serviceCode, serviceMessage] = this.note(row).split("\0");
    if (serviceCode === undefined) return new KinopioError(code as KinopioErrorCode, message ?? "");
    return new KinopioError(code as KinopioErrorCode, serviceMessage || message || "", {
      serviceCode: serviceCode || "500",
      data: this.value(row, coding),
    });
  }

  #notesAt(row: number): number {
    const names = this.#words[row * rowWords + 6]!;
    return this.#words[row * rowWords + 5]! + (names & 0xffff) + (names >>> 16);
  }

  #name(row: number, skip: number, length: number): string {
    if (length === 0) return "";
    const offset = this.#words[row * rowWords + 5]! + skip;
    if (this.#metaText === undefined) this.#metaText = ascii(this.#meta);
    return this.#metaText === null
      ? (textOf(this.#meta.subarray(offset, offset + length)) ?? "")
      : this.#metaText.substring(offset, offset + length);
  }
}

/** A copy of each payload, so that nobody has to copy large ones once more. They begin at `address`. */
export function copyPayloads(words: Uint32Array, memory: Uint8Array, address: number): Uint8Array[] {
  const all: Uint8Array[] = [];
  for (let row = 0; row < words.length; row += rowWords) {
    const from = address + words[row + 3]!;
    all.push(memory.slice(from, from + words[row + 4]!));
  }
  return all;
}

/** The text of bytes if every character is one byte, else null. */
function ascii(bytes: Uint8Array): string | null {
  const text = textOf(bytes);
  return text !== undefined && text.length === bytes.length ? text : null;
}
