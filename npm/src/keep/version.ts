// The same as internal/keep/version.go; both play conformance/keep.json.

/**
 * Says which of two values of a name is the later one: by its counter first, then by who wrote it. No clock is in
 * it.
 */
export interface Version {
  readonly counter: number;
  /** 7 of 0-9, A-Z, a-z: random, one for each life of a hub. */
  readonly writer: string;
}

/** What the header of a set value says. */
export interface Stamp extends Version {
  /** The name has no value since. */
  readonly deleted: boolean;
  /** It is sent once more, for those who have missed it. */
  readonly again: boolean;
}

/** Before all others: nobody has set the name. */
export const unset: Stamp = /* @__PURE__ */ Object.freeze({ counter: 0, writer: "", deleted: false, again: false });

/** Bounds counters, so that all count as exactly. */
export const mostCounter = Number.MAX_SAFE_INTEGER;

/** Whether a is older than b. */
export function before(a: Version, b: Version): boolean {
  return a.counter < b.counter || (a.counter === b.counter && a.writer < b.writer);
}

export const same = (a: Version, b: Version): boolean => a.counter === b.counter && a.writer === b.writer;

/** The counter in hex, a point, the writer, "-" if deleted, "+" if again; "0" for {@link unset}. */
export function stampText({ counter, writer, deleted, again }: Stamp): string {
  return counter === 0 ? "0" : `${counter.toString(16)}.${writer}${deleted ? "-" : ""}${again ? "+" : ""}`;
}

/** Reads what {@link stampText} wrote; undefined for anything else. */
export function parseStamp(text: string): Stamp | undefined {
  if (text === "0") return unset;
  const parts = /^([1-9a-f][0-9a-f]{0,13})\.([0-9A-Za-z]{7})(-?)(\+?)$/.exec(text);
  const counter = parts ? parseInt(parts[1]!, 16) : 0;
  if (!parts || counter > mostCounter) return undefined;
  return { counter, writer: parts[2]!, deleted: parts[3] !== "", again: parts[4] !== "" };
}
