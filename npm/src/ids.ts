/** Ids of 32 bits, which the module knows things by: counted round, never 0, none twice at a time. */
export class Ids {
  #last: number;
  #taken: (id: number) => boolean;

  /** `taken` says whether an id is in use; `last` is the one before the first. */
  constructor(taken: (id: number) => boolean, last = 0) {
    this.#taken = taken;
    this.#last = last;
  }

  next(): number {
    do this.#last = this.#last >= 0xffffffff ? 1 : this.#last + 1;
    while (this.#taken(this.#last));
    return this.#last;
  }
}

/** So many of the digits, at random. */
export function randomDigits(length: number, digits: string): string {
  const fair = 256 - (256 % digits.length);
  let text = "";
  while (text.length < length) {
    for (const byte of crypto.getRandomValues(new Uint8Array(16))) if (byte < fair && text.length < length) text += digits[byte % digits.length];
  }
  return text;
}
