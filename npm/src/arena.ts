const chunkBytes = 64 << 10;

/**
 * Copies of parts of Go's memory, one after the other in chunks: an array of its own for each would
 * cost a browser more than the copy. A chunk lives as long as one of its parts is used.
 */
export class Arena {
  #chunk = new Uint8Array(0);
  #used = 0;

  /** A copy of `length` bytes. */
  bytes(memory: Uint8Array, from: number, length: number): Uint8Array {
    if (length > chunkBytes / 4) return memory.slice(from, from + length);
    const at = this.#room(length);
    const copy = this.#chunk.subarray(at, at + length);
    copy.set(memory.subarray(from, from + length));
    return copy;
  }

  /** A copy of `length` words of 32 bits, of which `from` is the first. */
  words(memory: Uint32Array, from: number, length: number): Uint32Array {
    if (length > chunkBytes / 16) return memory.slice(from, from + length);
    const at = this.#room(length * 4); // first: it may replace the chunk
    const copy = new Uint32Array(this.#chunk.buffer, at, length);
    copy.set(memory.subarray(from, from + length));
    return copy;
  }

  #room(length: number): number {
    if (this.#used + length > this.#chunk.length) {
      this.#chunk = new Uint8Array(chunkBytes);
      this.#used = 0;
    }
    const at = this.#used;
    this.#used = (at + length + 3) & ~3;
    return at;
  }
}
