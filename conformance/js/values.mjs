// What a scenario means by its values, and how they compare.

/** Objects with one key that begins with $ stand for what JSON lacks; i is the number of the repetition. */
export function revive(value, i = 0) {
  if (value === null || typeof value !== "object" || Array.isArray(value)) return value;
  const keys = Object.keys(value);
  if (keys.length !== 1) return value;
  const arg = value[keys[0]];
  switch (keys[0]) {
    case "$bytes":
      return fromBase64(arg);
    case "$nothing":
      return undefined;
    case "$function":
      return () => {};
    case "$cycle": {
      const cycle = {};
      cycle.self = cycle;
      return cycle;
    }
    case "$bigint":
      return BigInt(arg);
    case "$i":
      return i;
    case "$repeat":
      return arg[0].repeat(arg[1]);
  }
  return value;
}

export const fromBase64 = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
export const toBase64 = (bytes) => btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
export const bytesOf = (text, base64) => (text !== undefined ? new TextEncoder().encode(text) : fromBase64(base64 ?? ""));

export function equal(a, b) {
  if (a instanceof Uint8Array || b instanceof Uint8Array) {
    return a instanceof Uint8Array && b instanceof Uint8Array && a.length === b.length && a.every((byte, i) => byte === b[i]);
  }
  if (a === null || b === null || typeof a !== "object" || typeof b !== "object") return a === b;
  if (Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => Object.hasOwn(b, key) && equal(a[key], b[key]));
}

/** Throws unless a value that came is the one that a scenario means. */
export function same(got, want) {
  const meant = revive(want) ?? null; // what is received is never undefined
  if (!equal(got, meant)) throw new Error(`got ${display(got)}, want ${display(meant)}`);
}

export function display(value) {
  if (value instanceof Uint8Array) return `bytes ${Array.from(value, (b) => b.toString(16).padStart(2, "0")).join("")}`;
  let text;
  try {
    text = JSON.stringify(value) ?? String(value);
  } catch {
    text = String(value);
  }
  return text.length > 200 ? `${text.slice(0, 200)}… (${text.length} characters)` : text;
}

/** Throws unless a record is as a scenario says. */
export function matches(want, record) {
  const part = (name, check) => {
    try {
      check();
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
  };
  if ("value" in want) part("value", () => same(record.value, want.value));
  for (const name of ["subject", "reply"]) {
    if (name in want && record[name] !== want[name]) throw new Error(`${name}: got ${display(record[name])}, want ${display(want[name])}`);
  }
  const headers = { ...record.headers };
  if ("number" in want) {
    const [number, ...more] = headers.Kseq ?? [];
    if (more.length > 0 || !/^[0-9A-Za-z]{8,11}\.[0-9A-Za-z]{1,11}$/.test(number ?? "") || !number.endsWith(`.${want.number}`)) {
      throw new Error(`number: got Kseq ${display(headers.Kseq)}, want that of message ${want.number} of its stream`);
    }
    delete headers.Kseq; // said something about
  }
  if ("version" in want) {
    const [version, ...more] = headers.Kset ?? [];
    const parts = /^([1-9a-f][0-9a-f]*)\.[0-9A-Za-z]{7}(-?\+?)$/.exec(version ?? "");
    if (more.length > 0 || !parts || parts[1] + parts[2] !== want.version) {
      throw new Error(`version: got Kset ${display(headers.Kset)}, want version ${want.version}`);
    }
    delete headers.Kset;
  }
  if ("headers" in want) part("headers", () => same(headers, want.headers));
  if ("text" in want || "base64" in want) {
    const bytes = bytesOf(want.text, want.base64);
    if (!equal(record.bytes, bytes)) throw new Error(`bytes: got ${display(record.bytes)}, want ${display(bytes)}`);
  }
}
