/** What is told what happens, and the time, in nanoseconds, and says what is to be done. */
export interface Driven<E> {
  effects(): readonly E[];
  /** When it is to be told the time; 0 for never. */
  next(): number;
  tick(now: number): void;
}

/** How late a machine may be told the time before it is told later still. */
const graceMs = 200;

/** Drives a machine by the clock, and does what it asks for. */
export class Driver<E, M extends Driven<E>> {
  #machine: M;
  #isDead: () => boolean;
  #effect: (effect: E) => void;
  #running = false;
  #scheduled = false;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #due = 0; // when the machine wants to be told the time; 0: never
  #late = 0; // since when that is known to be late

  /** Once `isDead` says so nothing is done any more. */
  constructor(machine: M, isDead: () => boolean, effect: (effect: E) => void) {
    this.#machine = machine;
    this.#isDead = isDead;
    this.#effect = effect;
  }

  /** Lets the machine do something; what it asks for then is done in a microtask. */
  do<T>(what: (machine: M, now: number) => T): T {
    const result = what(this.#machine, Math.round(performance.now() * 1e6));
    if (!this.#scheduled) {
      this.#scheduled = true;
      queueMicrotask(() => {
        this.#scheduled = false;
        this.run();
        this.#arm();
      });
    }
    return result;
  }

  /** Does what the machine asks for, now. */
  run(): void {
    if (this.#running) return; // who runs already does that, too
    this.#running = true;
    try {
      for (let effects; !this.#isDead() && (effects = this.#machine.effects()).length > 0; ) for (const effect of effects) this.#effect(effect);
    } finally {
      this.#running = false;
    }
  }

  /** Tells the machine the time no more. */
  end(): void {
    clearTimeout(this.#timer);
  }

  /** Sees to it that the machine is told the time. */
  #arm(): void {
    const next = this.#machine.next() / 1e6;
    if (this.#isDead() || next === 0) return;
    const now = performance.now();
    if (this.#due !== 0 && now > this.#due + graceMs) this.#look(now); // timers of hidden pages are late
    if (this.#timer !== undefined && this.#due <= next) return; // it asks again
    clearTimeout(this.#timer);
    this.#due = next;
    this.#wakeIn(Math.max(1, next - now));
  }

  #wakeIn(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#look(performance.now());
    }, ms);
    (this.#timer as { unref?(): void }).unref?.(); // in Node it keeps no process alive
  }

  /** Tells the machine the time. If that is late, what may have come while nothing was done here comes first. */
  #look(now: number): void {
    if (now > this.#due + graceMs && this.#late === 0) this.#late = now;
    if (this.#late !== 0 && now < this.#late + graceMs) {
      if (this.#timer === undefined) this.#wakeIn(graceMs);
      return;
    }
    this.#due = this.#late = 0;
    this.do((machine, at) => machine.tick(at));
  }
}
