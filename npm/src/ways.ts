import { messageOf } from "./errors.js";
import type { WebSocketClass, WebSocketLike } from "./sockets.js";
import { WebTransportSocket, webTransportClass, type Way } from "./webtransport.js";

// How long WebTransport may take before the WebSocket is tried beside it. In a LAN it takes 5 to 30.
const hedgeMs = 100;
// How long it may take at all, which leaves the hub time to hear why. Nothing answers where a firewall drops UDP, and Firefox waits for its user.
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

/** The way to try now to a leaf, if there is one: of those in its manifest, whatever that has. */
export function wayNow(leaf: string, said: unknown): Way | undefined {
  if (!Array.isArray(said) || !webTransportClass() || failures.pause() > 0) return undefined;
  const ways = said.slice(0, mostWays).filter((way): way is Way => isUsable(way, new URL(leaf).hostname));
  return ways[turn % ways.length];
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

  #open: () => WebSocketLike; // the WebSocket
  #way: Way;
  #session: WebTransportSocket | undefined;
  #ws: WebSocketLike | undefined;
  #why: { session?: string; ws?: string } = {}; // they failed
  #hedge: ReturnType<typeof setTimeout> | undefined;
  #giveUp: ReturnType<typeof setTimeout> | undefined;

  constructor(url: string, way: Way, WebSocketClass: WebSocketClass) {
    this.#way = way;
    this.#open = () => new WebSocketClass(url);
    try {
      this.#session = new WebTransportSocket(webTransportClass()!, way);
    } catch (thrown) {
      queueMicrotask(() => this.#sessionFailed(messageOf(thrown)));
      return;
    }
    this.#hedge = setTimeout(() => this.#tryWebSocket(), hedgeMs);
    this.#giveUp = setTimeout(() => this.#sessionFailed(`no answer within ${giveUpMs} ms: does a firewall drop UDP to that port?`), giveUpMs);
    const session = this.#session;
    session.onopen = () => this.#won(session, "by WebTransport");
    session.onclose = ({ reason }: { reason: string }) => this.#sessionFailed(reason || "it ended at once");
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
    if (ws === this.#session) this.#session = undefined;
    else this.#ws = undefined;
    this.#stop();
    this.onwinner?.(ws, description);
  }

  #sessionFailed(why: string): void {
    if (this.#why.session !== undefined || this.readyState !== 0) return;
    this.#why.session = why;
    clearTimeout(this.#giveUp);
    this.#dropSession();
    clearTimeout(this.#hedge);
    this.#tryWebSocket();
    this.#lost();
  }

  #webSocketFailed(why: string): void {
    if (this.#why.ws !== undefined || this.readyState !== 0) return;
    this.#why.ws = why;
    drop(this.#ws);
    this.#lost();
  }

  #lost(): void {
    if (this.#why.session === undefined || this.#why.ws === undefined || this.readyState !== 0) return;
    this.readyState = 3;
    this.#stop();
    this.onclose?.({ reason: `by WebTransport to ${this.#way.url}: ${this.#why.session}; by WebSocket: ${this.#why.ws}` });
  }

  /** Ends both. */
  close(): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.#stop();
    this.onclose?.({ code: 1006, reason: "" });
  }

  send(): void {}

  #stop(): void {
    clearTimeout(this.#hedge);
    clearTimeout(this.#giveUp);
    this.#dropSession();
    drop(this.#ws);
  }

  /** A handshake that is called off is one that failed, to Chromium. */
  #dropSession(): void {
    const session = this.#session;
    if (!session) return;
    this.#session = undefined;
    failures.add();
    turn++;
    session.onopen = session.onclose = null;
    session.terminate();
  }
}

/** Closes a WebSocket that nobody wants. */
function drop(ws: WebSocketLike | undefined): void {
  if (!ws) return;
  ws.onopen = ws.onmessage = ws.onclose = null;
  ws.onerror = () => {}; // `ws` throws errors that nobody listens for
  if (ws.readyState >= 2) return;
  try {
    ws.close(1000);
  } catch {
    // on its way
  }
}
