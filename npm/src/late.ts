import type { WebTransportSocket } from "./webtransport.js";

// How long a handshake may go on that nobody waits for any more: Chromium may hold it up for a minute. One that is
// called off counts as one that has failed, and holds up the next ones for longer.
const patienceMs = 75_000;
// How long a session waits, when it has opened late, until it is dialed. Servers do not wait long for a first word.
const keepMs = 5_000;
// How many there may be of both.
const mostLate = 4;

/** A handshake, or a session that it has become. */
export interface Attempt {
  readonly key: string; // its way
  readonly begun: number; // performance.now()
  readonly session: WebTransportSocket;
}

interface Kept extends Attempt {
  hub: number;
  hasOpened: boolean;
  timer: ReturnType<typeof setTimeout>;
}

/** The handshakes of a page that nobody waits for any more, and that go on. */
export class Late {
  #all = new Map<string, Kept>();
  #failed: () => void;

  /** failed is called when one of them has failed, or was called off, which is the same to a browser. */
  constructor(failed: () => void) {
    this.#failed = failed;
  }

  get isFull(): boolean {
    return this.#all.size >= mostLate;
  }

  has(key: string): boolean {
    return this.#all.has(key);
  }

  /** One of them, to wait for. */
  take(key: string, mustBeOpen: boolean): Attempt | undefined {
    const kept = this.#all.get(key);
    if (!kept || (mustBeOpen && kept.session.readyState !== 1)) return undefined;
    this.#forget(kept);
    return kept;
  }

  /** Lets one go on for a hub; opened is called when it has opened. */
  keep(attempt: Attempt, hub: number, opened: () => void): void {
    const { key, begun, session } = attempt;
    if (this.isFull || this.has(key)) {
      this.#failed();
      session.terminate();
      return;
    }
    const wait = patienceMs - (performance.now() - begun);
    const kept: Kept = { key, begun, session, hub, hasOpened: false, timer: setTimeout(() => this.#end(kept), wait) };
    this.#all.set(key, kept);
    session.hold();
    session.onopen = () => {
      kept.hasOpened = true;
      clearTimeout(kept.timer);
      kept.timer = setTimeout(() => this.#end(kept), keepMs);
      opened();
    };
    session.onclose = () => this.#end(kept);
  }

  /** Ends those of a hub, or all. */
  end(hub?: number): void {
    for (const kept of [...this.#all.values()]) if (hub === undefined || kept.hub === hub) this.#end(kept);
  }

  #end(kept: Kept): void {
    this.#forget(kept);
    if (!kept.hasOpened) this.#failed();
    kept.session.terminate();
  }

  #forget({ key, session, timer }: Kept): void {
    clearTimeout(timer);
    session.onopen = session.onclose = null;
    this.#all.delete(key);
  }
}
