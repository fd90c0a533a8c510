import { messageOf } from "./errors.js";
import type { Attempt, Late } from "./late.js";
import type { WebSocketClass, WebSocketLike } from "./sockets.js";
import { WebTransportSocket, webTransportClass, type Way } from "./webtransport.js";

// How long WebTransport may take before the WebSocket is tried beside it. In a LAN it takes 5 to 30.
const hedgeMs = 100;
// How long the hub waits for it at all, which leaves it time to hear why. Nothing answers where a firewall drops UDP, Firefox waits for its
// user, and Chromium for the end of a time of its own.
const giveUpMs = 900;

// Chromium holds up a page's next handshakes for each that has failed in the last minutes: a few are not
// felt, twelve are ten seconds. So the time until another attempt grows.
const rememberMs = 5 * 60_000;
const firstPauseMs = 1000;
const longestPauseMs = 60_000;

/** When handshakes of this page have failed, and whether another one may be tried. */
export class Failures {
  #at: number[] = [];
  #now: () => number;

  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  add(): void {
    this.#at.push(this.#now());
  }

  /** Milliseconds until the next attempt; 0 is now. */
  pause(): number {
    const now = this.#now();
    this.#at = this.#at.filter((at) => now - at < rememberMs);
    if (this.#at.length === 0) return 0;
    const pause = Math.min(firstPauseMs * 4 ** (this.#at.length - 1), longestPauseMs);
    return Math.max(0, this.#at.at(-1)! + pause - now);
  }
}

const failures = /* @__PURE__ */ new Failures();
let turn = 0; // which of a leaf's addresses is tried

/** Notes that a handshake of this page has failed, and makes another address the next one. */
export function failed(): void {
  failures.add();
  turn++;
}

/** An attempt to wait for, or a way to make one by. */
export type Choice = { way: Way; attempt?: Attempt };

/**
 * What to try now to a leaf, if anything, of the ways in its manifest, whatever that has: one that has opened since nobody
 * waits for it, a new one, or one that still goes on.
 */
export function wayNow(leaf: string, said: unknown, late: Late): Choice | undefined {
  if (!Array.isArray(said) || !webTransportClass()) return undefined;
  const usable = said.slice(0, mostWays).filter((way): way is Way => isUsable(way, new URL(leaf).hostname));
  const ways = usable.map((_, i) => usable[(turn + i) % usable.length]!);
  const going = (mustBeOpen: boolean): Choice | undefined => {
    for (const way of ways) {
      const attempt = late.take(keyOf(way), mustBeOpen);
      if (attempt) return { way, attempt };
    }
  };
  const isNew = (way: Way) => !late.isFull && failures.pause() === 0 && !late.has(keyOf(way));
  const open = going(true);
  if (open) return open;
  const way = ways.find(isNew);
  return way ? { way } : going(false);
}

function keyOf({ url, certificateHashes }: Way): string {
  return JSON.stringify([url, certificateHashes]);
}

const mostWays = 8;
const mostHashes = 4;
const sha256 = /^[\w+/]{43}=$/;
const isNumber = /^[\d.]+$|^\[/; // an address; a name that is one is written as one by URL
const onLoopback = /^(127\.|\[::1\]$)/;
const onLAN = /^(10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.|169\.254\.|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|\[f[cd]|\[fe[89ab])/;

/**
 * Whether a way leads to the leaf's own host, or to an address where the page may go if it may go to the leaf:
 * browsers ask their user about this machine and about the LAN separately.
 */
export function isUsable(way: Partial<Way> | null, leaf: string): boolean {
  const { url, certificateHashes: hashes } = way ?? {};
  if (typeof url !== "string" || !Array.isArray(hashes) || hashes.length === 0 || hashes.length > mostHashes) return false;
  if (!hashes.every((hash) => typeof hash === "string" && sha256.test(hash)) || !URL.canParse(url)) return false;
  const { protocol, hostname, username, password } = new URL(url);
  if (protocol !== "https:" || username || password) return false;
  if (hostname === leaf) return true;
  if (!isNumber.test(hostname)) return false;
  const isNear = leaf === "localhost" || (isNumber.test(leaf) && onLoopback.test(leaf));
  return (onLoopback.test(hostname) && (isNear || !isNumber.test(leaf))) || (onLAN.test(hostname) && !isNear);
}

/**
 * A WebSocket and a WebTransport session to one leaf, until one of them is open: {@link onwinner} gets it
 * then, and what this is has ended. WebTransport comes first, and makes a WebSocket at most {@link hedgeMs}
 * later than it would be.
 */
export class Race implements WebSocketLike {
  binaryType = "arraybuffer";
  readyState = 0;
  readonly bufferedAmount = 0;
  onopen = null;
  onmessage = null;
  onerror: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  /** Gets the one that is open, and by which way it goes, in words. */
  onwinner: ((ws: WebSocketLike, description: string) => void) | null = null;
  /** Called when WebTransport has opened although another way was taken, or none: who dials again gets it. */
  onlate: () => void = () => {};

  #open: () => WebSocketLike; // the WebSocket
  #keep: (attempt: Attempt) => void;
  #way: Way;
  #attempt: Attempt | undefined; // it goes on
  #ws: WebSocketLike | undefined;
  #why: { session?: string; ws?: string } = {}; // they failed
  #hedge: ReturnType<typeof setTimeout> | undefined;
  #giveUp: ReturnType<typeof setTimeout> | undefined;

  /** A handshake that nobody waits for any more goes on in late, for the hub. */
  constructor(url: string, { way, attempt }: Choice, WebSocketClass: WebSocketClass, late: Late, hub: number) {
    this.#way = way;
    this.#keep = (attempt) => late.keep(attempt, hub, this.onlate);
    this.#open = () => new WebSocketClass(url);
    const now = performance.now();
    try {
      this.#attempt = attempt ?? { key: keyOf(way), begun: now, session: new WebTransportSocket(webTransportClass()!, way) };
    } catch (thrown) {
      queueMicrotask(() => this.#sessionFailed(messageOf(thrown)));
      return;
    }
    const { session, begun } = this.#attempt;
    const won = () => this.#won(session, "by WebTransport");
    session.onopen = won;
    session.onclose = ({ reason }: { reason: string }) => this.#sessionFailed(reason || "it ended at once");
    if (session.readyState === 1) queueMicrotask(won);
    else this.#hedge = setTimeout(() => this.#tryWebSocket(), Math.max(0, begun + hedgeMs - now));
    this.#giveUp = setTimeout(() => {
      this.#why.session ??= `no answer within ${giveUpMs} ms: does a firewall drop UDP to that port?`;
      this.#lost();
    }, giveUpMs);
  }

  #tryWebSocket(): void {
    if (this.#ws || this.#why.ws !== undefined || this.readyState !== 0) return;
    try {
      const ws = (this.#ws = this.#open());
      ws.binaryType = "arraybuffer";
      ws.onopen = () => this.#won(ws, `by WebSocket, as WebTransport to ${this.#way.url} failed: ${this.#why.session ?? `no answer within ${hedgeMs} ms`}`);
      ws.onerror = (event: { message?: string }) => this.#webSocketFailed(event?.message || "it failed");
      ws.onclose = (event: { reason?: string }) => this.#webSocketFailed(event?.reason || "it failed");
    } catch (thrown) {
      this.#webSocketFailed(messageOf(thrown));
    }
  }

  #won(ws: WebSocketLike, description: string): void {
    if (this.readyState !== 0) return;
    this.readyState = 3;
    if (ws === this.#attempt?.session) this.#attempt = undefined;
    else this.#ws = undefined;
    this.#stop(true);
    this.onwinner?.(ws, description);
    if (ws instanceof WebTransportSocket) ws.claim(); // now somebody listens
  }

  #sessionFailed(why: string): void {
    if (this.readyState !== 0) return;
    this.#why.session = why;
    this.#dropSession(false);
    clearTimeout(this.#hedge);
    this.#tryWebSocket();
    this.#lost();
  }

  #webSocketFailed(why: string): void {
    if (this.#why.ws !== undefined || this.readyState !== 0) return;
    this.#why.ws = why;
    drop(this.#ws, true);
    this.#lost();
  }

  #lost(): void {
    if (this.#why.session === undefined || this.#why.ws === undefined || this.readyState !== 0) return;
    this.readyState = 3;
    this.#stop(true);
    this.onclose?.({ reason: `by WebTransport to ${this.#way.url}: ${this.#why.session}; by WebSocket: ${this.#why.ws}` });
  }

  /** Ends both. */
  close(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#stop(false);
    this.onclose?.({ code: 1006, reason: "" });
  }

  send(): void {}

  #stop(goesOn: boolean): void {
    clearTimeout(this.#hedge);
    clearTimeout(this.#giveUp);
    this.#dropSession(goesOn);
    drop(this.#ws, !goesOn);
  }

  /** Lets the handshake go on, or ends it: then it has failed, to Chromium. */
  #dropSession(goesOn: boolean): void {
    const attempt = this.#attempt;
    if (!attempt) return;
    this.#attempt = undefined;
    const { session } = attempt;
    session.onopen = session.onclose = null;
    if (goesOn) {
      turn++;
      this.#keep(attempt);
      return;
    }
    failed();
    session.terminate();
  }
}

/**
 * Closes a WebSocket that nobody wants. One that is still connecting, when that is no failure, opens first: browsers write an
 * error into the console about one that is closed before.
 */
function drop(ws: WebSocketLike | undefined, isFailure: boolean): void {
  if (!ws) return;
  const end = () => {
    try {
      ws.close(1000);
    } catch {
      // on its way
    }
  };
  ws.onmessage = ws.onclose = null;
  ws.onerror = () => {}; // `ws` throws errors that nobody listens for
  if (ws.readyState === 0 && !isFailure) {
    ws.onopen = end;
    return;
  }
  ws.onopen = null;
  if (ws.readyState < 2) end();
}
