import { KinopioError } from "./errors.js";

/** Headers of a message: names as they are written, each with one value or several. */
export type HeadersInput = Record<string, string | readonly string[]>;

/** Headers that arrived. */
export type MessageHeaders = Readonly<Record<string, readonly string[]>>;

const encoder = /* @__PURE__ */ new TextEncoder();
const decoder = /* @__PURE__ */ new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Headers as the module takes them (wasm/ops.go).
 *
 * @throws KinopioError INVALID_VALUE for what cannot be a header
 */
export function packHeaders(headers: HeadersInput | undefined): Uint8Array | undefined {
  if (!headers) return undefined;
  let text = "";
  for (const [name, values] of Object.entries(headers)) {
    if (!/^[!-9;-~]+$/.test(name)) {
      throw new KinopioError("INVALID_VALUE", `header name ${JSON.stringify(name)}: want visible ASCII without ":"`);
    }
    if (name === "Kseq" || name === "Kset") {
      throw new KinopioError("INVALID_VALUE", `header name "${name}": it is the hub's own, for the number or the version of a message: want another name`);
    }
    for (const value of typeof values === "string" ? [values] : values) {
      if (typeof value !== "string" || /[\r\n\0]/.test(value)) {
        throw new KinopioError("INVALID_VALUE", `header ${name}: want a string without line breaks, not ${JSON.stringify(value)}`);
      }
      text += `${name}\0${value}\0`;
    }
  }
  return text === "" ? undefined : encoder.encode(text);
}

/** The reverse of {@link packHeaders}. */
export function unpackHeaders(bytes: Uint8Array): MessageHeaders {
  const headers: Record<string, string[]> = Object.create(null);
  const parts = decoder.decode(bytes).split("\0");
  for (let i = 0; i + 1 < parts.length; i += 2) {
    (headers[parts[i]!] ??= []).push(parts[i + 1]!);
  }
  return headers;
}
