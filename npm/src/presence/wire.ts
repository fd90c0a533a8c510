// The same as internal/presence/wire.go, which says what is said; both play conformance/presence.json. Bytes are texts here, each
// of whose characters is one byte.

/** The length of the id of a member: of 0-9 and A-Z. */
export const idDigits = 10;
/** Bounds the data of a member, in bytes. */
export const mostData = 1024;
/** Bounds the members that are known in one scope. */
export const most = 4096;
/** Bounds how often a member changes, and by how much at a time. */
export const mostSeq = 2 ** 40;
export const mostJump = 2 ** 20;
/** Bounds one message, in bytes. */
export const chunk = 32 << 10;

/** What is known of a member. */
export interface Entry {
  readonly id: string;
  readonly seq: number;
  readonly data: string;
}

const entryText = ({ id, seq, data }: Entry): string => `${id} ${seq} ${data.length}\n${data}`;

/** What a member says of itself. */
export const hereText = (entry: Entry): string => `here ${entryText(entry)}`;

/** An entry's part of what is known, by FNV-1a: the hashes of all are taken together by xor. */
export function hashOf({ id, seq }: Entry): number {
  const text = `${id} ${seq}`;
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash >>> 0;
}

export const isId = (text: string | undefined): text is string => text !== undefined && /^[0-9A-Z]{10}$/.test(text);

/** Reads the number of a member's change; undefined for anything else. */
export function parseSeq(text: string | undefined): number | undefined {
  const seq = text !== undefined && /^[1-9]\d{0,12}$/.test(text) ? Number(text) : Infinity;
  return seq <= mostSeq ? seq : undefined;
}

/** What is before the first `at`, and what is behind it. */
export function cut(text: string, at: string): [before: string, behind: string, found: boolean] {
  const i = text.indexOf(at);
  return i < 0 ? [text, "", false] : [text.slice(0, i), text.slice(i + 1), true];
}

/** Takes an entry off the beginning of a text. */
export function cutEntry(text: string): { entry: Entry; rest: string } | undefined {
  const [line, rest, found] = cut(text, "\n");
  const [id, number, length, more] = line.slice(0, 64).split(" ");
  const seq = parseSeq(number);
  const size = length !== undefined && /^\d+$/.test(length) ? Number(length) : Infinity;
  if (!found || more !== undefined || !isId(id) || seq === undefined || size > mostData || size > rest.length) return undefined;
  return { entry: { id, seq, data: rest.slice(0, size) }, rest: rest.slice(size) };
}

/** Reads those that follow each other. */
export function entriesOf(text: string): Entry[] {
  const all: Entry[] = [];
  while (text !== "" && all.length < most) {
    const next = cutEntry(text);
    if (!next?.rest.startsWith("\n")) break;
    all.push(next.entry);
    text = next.rest.slice(1);
  }
  return all;
}

/** Entries in as many messages as they need, each behind what `head` says of it. */
export function chunks(all: readonly Entry[], head: (part: number, parts: number) => string): string[] {
  const bodies = [""];
  for (const entry of all) {
    const last = bodies[bodies.length - 1]!;
    if (last !== "" && last.length + entry.data.length + idDigits + 32 > chunk) bodies.push("");
    bodies[bodies.length - 1] += `${entryText(entry)}\n`;
  }
  return bodies.map((body, i) => `${head(i + 1, bodies.length)}\n${body}`);
}
