import { KinopioError } from "./errors.js";

// The same rules as checkName in hub/names.go; conformance/vectors.json holds both to it.
const refused = /[\p{White_Space}\p{Cc}\p{Cs}*>\uFFFD]/u;

/**
 * Refuses what cannot be part of a subject: empty parts, white space, control characters,
 * and the wildcards unless allowed.
 *
 * @throws KinopioError INVALID_NAME, naming the part
 */
export function checkName(name: string, wildcards: boolean): void {
  const bad = (why: string) => new KinopioError("INVALID_NAME", `invalid name: ${JSON.stringify(name)} ${why}`);
  if (typeof name !== "string") throw new KinopioError("INVALID_NAME", `invalid name: want a string, not ${typeof name}`);
  if (name === "") throw bad("is empty");
  const parts = name.split(".");
  parts.forEach((part, i) => {
    if (part === "") throw bad("has an empty part between its dots");
    if (part === "*" || part === ">") {
      if (!wildcards) throw bad(`has the wildcard ${JSON.stringify(part)}, which is for subscribing only`);
      if (part === ">" && i !== parts.length - 1) throw bad('has a ">" that is not at the end');
      return;
    }
    const found = refused.exec(part);
    if (found) throw bad(`has the character ${JSON.stringify(found[0])} in the part ${JSON.stringify(part)}`);
  });
}

/**
 * Refuses what cannot be the name of a queue group. It may have wildcards, as the subject has
 * that a service on many subjects gets its name from; there they mean nothing.
 *
 * @throws KinopioError INVALID_NAME
 */
export function checkQueue(name: string): void {
  checkName(typeof name === "string" ? name.replace(/(^|\.)[*>](?=\.|$)/g, "$1x") : name, false);
}

/** Whether a valid subject stands for many. */
export function isWildcard(subject: string): boolean {
  return /(^|\.)[*>](\.|$)/.test(subject);
}

/** Whether a text may be a subject to publish on. */
export function isTarget(subject: string): boolean {
  try {
    checkName(subject, false);
    return true;
  } catch {
    return false;
  }
}
