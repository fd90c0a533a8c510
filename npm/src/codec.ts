import { KinopioError, messageOf } from "./errors.js";

/** Replaces JSON for values other than null, bytes and strings. */
export interface Codec {
  /** The bytes of a value. */
  encode(value: any): Uint8Array;
  /** The value of bytes, of which there is at least one. If it throws, the text or the bytes are the value. */
  decode(bytes: Uint8Array): any;
}

/** How one hub turns values into bytes and back; undefined members mean plain JSON. */
export interface Coding {
  codec?: Codec;
  jsonReplacer?: (this: any, key: string, value: any) => any;
  jsonReviver?: (this: any, key: string, value: any) => any;
}

/** An encoded value: bytes, or a text that travels as UTF-8. */
export type Payload = Uint8Array | string;

const strict = /* @__PURE__ */ new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Encodes a value: null and undefined are the empty payload, bytes (of every kind and every realm) and
 * strings are themselves, all else is JSON or what the codec makes of it. The bytes are the value's own.
 *
 * @throws KinopioError INVALID_VALUE for functions, symbols, cycles, BigInt, NaN and infinities, and for what
 *   JSON makes an empty object of, such as a Map, a Blob, an Error or a promise
 */
export function encode(value: unknown, coding: Coding): Payload {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  const bytes = bytesOf(value);
  if (bytes) return bytes;
  try {
    if (coding.codec) {
      const encoded: unknown = coding.codec.encode(value);
      const bytes = ArrayBuffer.isView(encoded) ? bytesOf(encoded) : undefined;
      if (bytes) return bytes;
      throw new TypeError(`the codec's encode returned ${encoded === null ? "null" : typeof encoded}: want a Uint8Array`);
    }
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} has no JSON`);
    const text = JSON.stringify(value, coding.jsonReplacer);
    if (text !== undefined) {
      if (typeof value === "object" && !coding.jsonReplacer && (isError(value) || text.includes("{}"))) refuseEmptied(value, "");
      return text;
    }
  } catch (cause) {
    throw new KinopioError("INVALID_VALUE", `value cannot be sent: ${messageOf(cause)}`, { cause });
  }
  throw new KinopioError("INVALID_VALUE", `value cannot be sent: a ${typeof value} has no JSON`);
}

/**
 * The bytes of a buffer or a view, as a plain Uint8Array: slices of a Buffer of Node, for one, are views of it,
 * so what is copied by slice() would be its owner's.
 */
function bytesOf(value: unknown): Uint8Array | undefined {
  if (ArrayBuffer.isView(value)) {
    if (Object.getPrototypeOf(value) === Uint8Array.prototype) return value as Uint8Array;
    return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  return typeof value === "object" && /^\[object (Shared)?ArrayBuffer\]$/.test(tagOf(value)) ? new Uint8Array(value as ArrayBuffer) : undefined;
}

const tagOf = (value: unknown): string => Object.prototype.toString.call(value);
const isError = (value: unknown): boolean => /Error|Exception/.test(tagOf(value));

const ways: Record<string, string> = {
  Blob: "send await blob.arrayBuffer()", File: "send await file.arrayBuffer()", Map: "send [...map] or Object.fromEntries(map)",
  Set: "send [...set]", Error: "send its message", Promise: "await it first", ArrayBuffer: "send it by itself, or its bytes in an array",
};

/** Finds what JSON has made an empty object of although it has a content. */
function refuseEmptied(value: unknown, path: string): void {
  if (typeof value !== "object" || value === null || typeof (value as { toJSON?: unknown }).toJSON === "function") return;
  const kind = tagOf(value).slice(8, -1);
  const entries = Object.entries(value);
  if (isError(value) || (kind !== "Object" && kind !== "Array" && entries.length === 0 && !/^(Number|String|Boolean|Arguments)$/.test(kind))) {
    const way = ways[kind] ?? "send what is in it";
    throw new TypeError(`${path ? `its ${path.slice(1)}` : "it"} is of the kind ${kind}, of which JSON has nothing: ${way}`);
  }
  for (const [name, part] of entries) refuseEmptied(part, `${path}.${name}`);
}

/** Decodes text whose bytes are valid UTF-8: the JSON value in it, else the text. */
export function decodeText(text: string, coding: Coding): unknown {
  if (text === "") return null;
  switch (text.charCodeAt(0)) {
    case 0x7b: // {
    case 0x5b: // [
    case 0x22: // "
    case 0x2d: // -
    case 0x74: // t
    case 0x66: // f
    case 0x6e: // n
    case 0x20:
    case 0x09:
    case 0x0a:
    case 0x0d:
      break;
    default: {
      const c = text.charCodeAt(0);
      if (c < 0x30 || c > 0x39) return text; // cannot be JSON; a failing JSON.parse is slow
    }
  }
  try {
    return JSON.parse(text, coding.jsonReviver);
  } catch {
    return text;
  }
}

/** The text of bytes, or undefined if they are not valid UTF-8. */
export function textOf(bytes: Uint8Array): string | undefined {
  const first = bytes[0]!;
  if (first >= 0x80 && (first < 0xc2 || first > 0xf4)) return undefined; // begins no character, and an exception takes long
  try {
    return strict.decode(bytes);
  } catch {
    return undefined;
  }
}

/** Decodes bytes: null for none, the codec's or JSON's value, else the text, else the bytes. */
export function decode(bytes: Uint8Array, coding: Coding): unknown {
  if (bytes.length === 0) return null;
  if (coding.codec) {
    try {
      return coding.codec.decode(bytes);
    } catch {
      return textOf(bytes) ?? bytes;
    }
  }
  const text = textOf(bytes);
  return text === undefined ? bytes : decodeText(text, coding);
}

/** What a receiver of payload would decode. */
export function decodePayload(payload: Payload, coding: Coding): unknown {
  if (typeof payload !== "string") return decode(payload.slice(), coding);
  return coding.codec ? decode(new TextEncoder().encode(payload), coding) : decodeText(payload, coding);
}
