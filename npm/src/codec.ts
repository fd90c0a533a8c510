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
 * Encodes a value: null and undefined are the empty payload, bytes and strings are
 * themselves, all else is JSON or what the codec makes of it.
 *
 * @throws KinopioError INVALID_VALUE for functions, symbols, cycles, BigInt, NaN and infinities
 */
export function encode(value: unknown, coding: Coding): Payload {
  if (value === null || value === undefined) return "";
  if (typeof value === "string") return value;
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  try {
    if (coding.codec) {
      const bytes = coding.codec.encode(value);
      if (bytes instanceof Uint8Array) return bytes;
      throw new TypeError(`the codec's encode returned ${bytes === null ? "null" : typeof bytes}: want a Uint8Array`);
    }
    if (typeof value === "number" && !Number.isFinite(value)) throw new TypeError(`${value} has no JSON`);
    const text = JSON.stringify(value, coding.jsonReplacer);
    if (text !== undefined) return text;
  } catch (cause) {
    throw new KinopioError("INVALID_VALUE", `value cannot be sent: ${messageOf(cause)}`, { cause });
  }
  throw new KinopioError("INVALID_VALUE", `value cannot be sent: a ${typeof value} has no JSON`);
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
