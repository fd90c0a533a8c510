import type { Go } from "virtual:wasm-exec";

// Node's timers have these; a browser's are numbers.
interface NodeTimer {
  ref?(): void;
  unref?(): void;
}

/**
 * Go arms at most one timer, anew each time it comes to rest. Here that costs a comparison:
 * one real timer stays armed until it fires, and only an earlier time replaces it. In Node it
 * keeps the process alive only while `ref(true)`.
 */
export class GoTimers {
  #go: Go;
  #serial = 0;
  #due = 0; // when Go wants to be woken; 0: never
  #dueAt = 0; // the same by the clock on the wall
  #armed = 0; // when the real timer fires
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ref = false;

  constructor(go: Go) {
    this.#go = go;
    go.importObject.gojs["runtime.scheduleTimeoutEvent"] = (sp) => {
      sp >>>= 0;
      const delay = Number(go.mem.getBigInt64(sp + 8, true));
      this.#due = performance.now() + delay;
      this.#dueAt = Date.now() + delay;
      if (this.#timer === undefined || this.#due < this.#armed - 0.5) this.#arm(delay);
      go.mem.setInt32(sp + 16, ++this.#serial, true);
    };
    go.importObject.gojs["runtime.clearTimeoutEvent"] = () => {
      this.#due = 0;
    };
  }

  /** Go wanted to be woken before now: timers of hidden pages are late. */
  get overdue(): boolean {
    return this.#due !== 0 && Date.now() >= this.#dueAt; // a browser takes some µs for performance.now()
  }

  /** Whether the timer keeps a Node process alive. */
  ref(on: boolean): void {
    this.#ref = on;
    const timer = this.#timer as NodeTimer | undefined;
    if (on) timer?.ref?.();
    else timer?.unref?.();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#due = 0;
  }

  #arm(delay: number): void {
    clearTimeout(this.#timer);
    this.#armed = performance.now() + delay;
    this.#timer = setTimeout(() => this.#fire(), Math.min(delay, 0x7fffffff));
    if (!this.#ref) (this.#timer as NodeTimer).unref?.();
  }

  #fire(): void {
    this.#timer = undefined;
    if (this.#due === 0) return;
    const left = this.#due - performance.now();
    if (left > 0.5) {
      this.#arm(left);
      return;
    }
    this.#due = 0;
    this.#go._resume();
  }
}
