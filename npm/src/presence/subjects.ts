// The subjects on which hubs say who is in a scope: see hub/peers.go.

/** What members say to all, and who calls asks. */
export const herePrefix = "_KH.here.";
/** What members answer to who calls. */
export const rollPrefix = "_KH.roll.";
/** A request: who is here? One of the members answers, in one or more messages. */
export const whoPrefix = "_KH.who.";

/** The scope that a subject is about; undefined if it is about no presence. */
export function scopeOf(subject: string): string | undefined {
  const prefix = [herePrefix, rollPrefix, whoPrefix].find((prefix) => subject.startsWith(prefix));
  return prefix && subject.slice(prefix.length);
}

/** Bytes as a text, each of whose characters is one of them. */
export function textOfBytes(bytes: Uint8Array): string {
  let text = "";
  for (let i = 0; i < bytes.length; i += 4096) text += String.fromCharCode(...bytes.subarray(i, i + 4096));
  return text;
}

/** The bytes of such a text. */
export function bytesOfText(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}
