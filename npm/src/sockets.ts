import { After, type Exports, type Runtime } from "./runtime.js";
import { messageOf } from "./errors.js";
import { isNode } from "./node.js";
import { Late } from "./late.js";
import { failed, Race, wayNow } from "./ways.js";

/** What the package needs of a WebSocket class: the browser's, Node's and that of `ws` have it. */
export interface WebSocketClass {
  new (url: string): WebSocketLike;
}

/** One that takes certificates of a given root only, PEM: that of a program which is told whom to trust. */
export interface RootedWebSocketClass {
  new (url: string, ca: string): WebSocketLike;
}

/** The classes of one hub. */
interface Classes {
  readonly WebSocket: WebSocketClass;
  readonly Rooted?: RootedWebSocketClass;
}

/** What is known of a server beside its URL, as wasm/dialer.go writes it. */
interface Reach {
  webTransport?: unknown;
  rootPem?: string;
}

/** The part of a WebSocket that is used. */
export interface WebSocketLike {
  binaryType: string;
  readonly readyState: number;
  readonly bufferedAmount: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  send(data: Uint8Array<ArrayBuffer>): void;
  close(code?: number): void;
}

// How a socket ended; the same numbers as in wasm/dialer.go.
const Ended = { clean: 0, unclean: 1, unreachable: 2, untrusted: 3, handshake: 4, url: 5 } as const;

// Bytes waiting in a WebSocket, above which Write waits. A page that publishes in one long task
// sees none of them leave before the task has ended, so a burst of some 800,000 small messages has
// room; and filling what drains costs more than waiting for it.
const highWater = 64 << 20;
const lowWater = 16 << 20;
const seen = 1 << 20; // bytes from one look to the next: it takes a browser longer than a send should
const pollMs = 5; // no event says that a WebSocket has sent what it had

// nats-server cuts what it has for a browser into frames of this size, so the rest of it follows one
// of them at once. Handing such frames on together saves a browser much of the time for each.
const cutFrame = 4096;
const heldMost = 64 << 10; // bytes

const encoder = /* @__PURE__ */ new TextEncoder();

const closeMs = 1000; // how long the peer may take to answer a close

interface Socket {
  hub: number;
  ws: WebSocketLike;
  copies: boolean; // its send copies at once
  held: Uint8Array[]; // frames that will be handed on with the next one
  heldBytes: number;
  unseen: number; // bytes sent since bufferedAmount was last looked at
  full: boolean;
  timer?: ReturnType<typeof setTimeout>;
}

/** The WebSockets behind wasm/dialer.go. */
export class Sockets {
  #runtime: Runtime;
  #classesOf: (hub: number) => Classes | undefined;
  #sockets = new Map<number, Socket>();
  #late = new Late(failed);
  #closing = new Map<WebSocketLike, number>();
  #channel: MessageChannel | undefined; // an event of it is the next task, in a hidden page, too
  #due = false; // that event
  #waiting: { hub: number; done: () => void }[] = []; // for sockets that close

  constructor(runtime: Runtime, classesOf: (hub: number) => Classes | undefined) {
    this.#runtime = runtime;
    this.#classesOf = classesOf;
  }

  /** How many WebSockets are not closed. */
  get open(): number {
    return this.#sockets.size + this.#closing.size;
  }

  /** The functions that wasm/imports.go imports. They never call back into Go. */
  imports(): WebAssembly.ModuleImports {
    return {
      ws_open: (hub: number, id: number, address: number, length: number) => {
        const url = new TextDecoder().decode(this.#runtime.memory.subarray(address >>> 0, (address >>> 0) + length));
        this.#open(hub, id, url);
      },
      ws_send: (id: number, address: number, length: number) => this.#send(id, address >>> 0, length),
      ws_close: (id: number) => this.#close(id),
    };
  }

  /** Resolves when the sockets of a hub are closed, or their peers have had time enough. */
  async closed(hub: number): Promise<void> {
    this.#late.end(hub);
    if (this.#isClosed(hub)) return;
    await new Promise<void>((done) => this.#waiting.push({ hub, done }));
  }

  closeAll(): void {
    for (const id of [...this.#sockets.keys()]) this.#close(id);
    this.#late.end();
    this.#channel?.port1.close();
  }

  /** address is a URL, and after a line's end what else is known of the server, if anything. */
  #open(hub: number, id: number, address: string): void {
    const [url, known] = address.split("\n", 2) as [string, string | undefined];
    const reach: Reach = known ? JSON.parse(known) : {};
    let ws: WebSocketLike;
    try {
      const classes = this.#classesOf(hub);
      if (!classes) throw new Error("the hub is gone");
      const { WebSocket, Rooted } = classes;
      const choice = wayNow(url, reach.webTransport, this.#late);
      if (choice) ws = new Race(url, choice, WebSocket, this.#late, hub);
      else if (reach.rootPem && Rooted && url.startsWith("wss:")) ws = new Rooted(url, reach.rootPem);
      else ws = new WebSocket(url); // throws for a URL that is mixed content, for one
      ws.binaryType = "arraybuffer";
    } catch (thrown) {
      queueMicrotask(() => this.#tellEnd(id, Ended.url, messageOf(thrown)));
      return;
    }
    const socket: Socket = { hub, ws, copies: isBrowsers(ws), held: [], heldBytes: 0, unseen: 0, full: false };
    this.#sockets.set(id, socket);
    if (ws instanceof Race) {
      ws.onlate = () => this.#runtime.enter((go) => go.kinopio_ws_late(hub, this.#text(go, url)));
      ws.onwinner = (winner, description) => {
        socket.ws = winner;
        socket.copies = isBrowsers(winner);
        this.#listen(id, socket, true);
        this.#opened(id, description);
      };
    }
    this.#listen(id, socket, false);
  }

  #opened(id: number, description = ""): void {
    this.#runtime.enter((go) => go.kinopio_ws_opened(id, this.#text(go, description)));
  }

  #listen(id: number, socket: Socket, opened: boolean): void {
    const { ws } = socket;
    ws.onopen = () => {
      opened = true;
      this.#opened(id);
    };
    ws.onmessage = (event: { data: ArrayBuffer | Uint8Array | string }) => {
      const data = event.data;
      if (typeof data === "string") {
        // NATS speaks in binary frames only: this is something else.
        this.#end(id, Ended.unclean, "a text frame arrived: want binary ones");
        return;
      }
      socket.held.push(data instanceof Uint8Array ? data : new Uint8Array(data));
      socket.heldBytes += data.byteLength;
      if (socket.copies && data.byteLength === cutFrame && socket.heldBytes < heldMost) this.#handOnSoon();
      else this.#handOn(id, socket);
      if (socket.full) this.#check(id, socket); // a hidden page's timers are slow
    };
    // An error is always the end, and sometimes (a refusal by CSP) the only event.
    ws.onerror = (event: { message?: string; error?: { code?: string; message?: string } }) => {
      const text = event?.message || event?.error?.message || "";
      this.#end(id, opened ? Ended.unclean : causeOf(`${event?.error?.code ?? ""} ${text}`), text);
    };
    ws.onclose = (event: { wasClean?: boolean; code?: number; reason?: string }) => {
      const text = !event?.reason ? "" : event.code ? `closed with ${event.code}: ${event.reason}` : event.reason;
      const clean = event?.wasClean && (event.code === 1000 || event.code === 1001 || event.code === 1005);
      this.#end(id, !opened ? Ended.unreachable : clean ? Ended.clean : Ended.unclean, text);
    };
  }

  /** Hands on what is held, unless what follows does so before. */
  #handOnSoon(): void {
    if (this.#due) return;
    this.#due = true;
    if (!this.#channel) {
      this.#channel = new MessageChannel();
      this.#channel.port1.onmessage = () => {
        this.#due = false;
        for (const [id, socket] of this.#sockets) this.#handOn(id, socket);
      };
    }
    this.#channel.port2.postMessage(null);
  }

  #handOn(id: number, socket: Socket): void {
    const { held, heldBytes } = socket;
    if (held.length === 0) return;
    socket.held = [];
    socket.heldBytes = 0;
    this.#runtime.enter((go) => {
      const at = (go.kinopio_ws_room(id, heldBytes) >>> 0) >>> 2;
      const { words, memory } = this.#runtime;
      const first = words[at + 1]!;
      if (first + words[at + 3]! !== heldBytes) return After.nothing; // closed meanwhile
      let to = words[at]!;
      let room = first;
      for (let frame of held) {
        if (frame.length > room) { // the room has two pieces
          memory.set(frame.subarray(0, room), to);
          frame = frame.subarray(room);
          to = words[at + 2]!;
          room = words[at + 3]!;
        }
        memory.set(frame, to);
        to += frame.length;
        room -= frame.length;
      }
      return this.#runtime.after(go.kinopio_ws_commit(id, heldBytes));
    });
  }

  /** Returns 1 when too much waits in the socket. */
  #send(id: number, address: number, length: number): number {
    const socket = this.#sockets.get(id);
    if (!socket) return 0;
    try {
      // A browser's send copies at once. Others may read the memory later.
      const { memory } = this.#runtime;
      socket.ws.send(socket.copies ? memory.subarray(address, address + length) : memory.slice(address, address + length));
    } catch (thrown) {
      queueMicrotask(() => this.#end(id, Ended.unclean, messageOf(thrown)));
      return 0;
    }
    if ((socket.unseen += length) < seen) return 0;
    socket.unseen = 0;
    if (socket.ws.bufferedAmount <= highWater) return 0;
    socket.full = true;
    this.#poll(id, socket);
    return 1;
  }

  #poll(id: number, socket: Socket): void {
    clearTimeout(socket.timer);
    socket.timer = setTimeout(() => {
      if (!this.#check(id, socket)) this.#poll(id, socket);
    }, pollMs);
  }

  /** Tells Go when a full socket takes more; false while it does not. */
  #check(id: number, socket: Socket): boolean {
    if (!socket.full || this.#sockets.get(id) !== socket) return true;
    if (socket.ws.bufferedAmount > lowWater) return false;
    socket.full = false;
    clearTimeout(socket.timer);
    this.#runtime.enter((go) => go.kinopio_ws_drained(id));
    return true;
  }

  /** The end from outside: tells Go, once. */
  #end(id: number, how: number, text: string): void {
    const socket = this.#sockets.get(id);
    if (socket) this.#handOn(id, socket);
    if (this.#release(id)) this.#tellEnd(id, how, text);
  }

  #tellEnd(id: number, how: number, text: string): void {
    this.#runtime.enter((go) => go.kinopio_ws_ended(id, how, this.#text(go, text)));
  }

  /** Puts a text where Go looks for one, and returns its length in bytes. */
  #text(go: Exports, text: string): number {
    if (text === "") return 0;
    const bytes = encoder.encode(text);
    const at = go.kinopio_buffer(bytes.length) >>> 0;
    this.#runtime.memory.set(bytes, at);
    return bytes.length;
  }

  /** The end from Go. */
  #close(id: number): void {
    this.#release(id);
  }

  #release(id: number): boolean {
    const socket = this.#sockets.get(id);
    if (!socket) return false;
    this.#sockets.delete(id);
    clearTimeout(socket.timer);
    this.#letGo(socket);
    return true;
  }

  /** Closes the WebSocket and counts it until it is closed. */
  #letGo({ hub, ws }: Socket): void {
    ws.onopen = ws.onmessage = null;
    ws.onerror = () => {}; // `ws` throws errors that nobody listens for
    ws.onclose = null;
    if (ws.readyState === 3) return;
    const done = () => {
      clearTimeout(timer);
      ws.onclose = null;
      if (!this.#closing.delete(ws)) return;
      for (const one of this.#waiting) if (this.#isClosed(one.hub)) one.done();
      this.#waiting = this.#waiting.filter((one) => !this.#isClosed(one.hub));
    };
    const timer = setTimeout(() => {
      // Node's `ws` would wait 30 s, and keep the process alive.
      (ws as { terminate?: () => void }).terminate?.();
      done();
    }, closeMs);
    this.#closing.set(ws, hub);
    ws.onclose = done;
    try {
      ws.close(1000);
    } catch {
      // already on its way
    }
    if (ws.readyState === 3) done();
  }

  #isClosed(hub: number): boolean {
    for (const other of this.#closing.values()) if (other === hub) return false;
    return true;
  }
}

function isBrowsers(ws: WebSocketLike): boolean {
  return !isNode && typeof WebSocket === "function" && ws instanceof WebSocket;
}

/** Node says why a connection failed; a browser does not. */
function causeOf(text: string): number {
  if (/unexpected server response|non-101|status code|sec-websocket|parse error/i.test(text)) return Ended.handshake;
  if (/cert|self.signed|altname|\btls\b|\bssl\b|handshake failure/i.test(text)) return Ended.untrusted;
  return Ended.unreachable;
}
