import type { Go } from "virtual:wasm-exec";

const keptFor = 16; // readings

/**
 * Go's clocks. Its scheduler reads one many times each time it runs, and a reading of the page's
 * costs more than most of what is between two: so a reading is used several times, and anew
 * whenever Go is entered. Browsers round theirs, to 0.1 ms mostly, so Go sees nothing that it
 * would not see anyway; it runs for less than that.
 */
export class GoClock {
  #mono = 0;
  #monoLeft = 0;
  #wall = 0;
  #wallLeft = 0;

  constructor(go: Go) {
    const origin = performance.timeOrigin;
    go.importObject.gojs["runtime.nanotime1"] = (sp) => {
      if (--this.#monoLeft < 0) {
        this.#mono = Math.floor((origin + performance.now()) * 1e6);
        this.#monoLeft = keptFor;
      }
      setInt64(go.mem, (sp >>> 0) + 8, this.#mono);
    };
    go.importObject.gojs["runtime.walltime"] = (sp) => {
      if (--this.#wallLeft < 0) {
        this.#wall = Date.now();
        this.#wallLeft = keptFor;
      }
      setInt64(go.mem, (sp >>> 0) + 8, Math.floor(this.#wall / 1000));
      go.mem.setInt32((sp >>> 0) + 16, (this.#wall % 1000) * 1e6, true);
    };
  }

  /** Go is entered: the next readings are new ones. */
  entered(): void {
    this.#monoLeft = this.#wallLeft = 0;
  }
}

function setInt64(mem: DataView, at: number, value: number): void {
  mem.setUint32(at, value, true);
  mem.setUint32(at + 4, Math.floor(value / 0x100000000), true);
}
