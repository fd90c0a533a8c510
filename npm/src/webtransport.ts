import { messageOf } from "./errors.js";
import type { WebSocketLike } from "./sockets.js";

/** One way to a leaf by WebTransport. */
export interface Way {
  url: string;
  /** SHA-256 of the certificates that may be shown there, base64. */
  certificateHashes: string[];
}

/** The part of the browser's class that is used; TypeScript's own types lag behind. */
interface Session {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<unknown>;
  readonly incomingBidirectionalStreams: ReadableStream<{ readable: ReadableStream<Uint8Array>; writable: WritableStream<Uint8Array> }>;
  close(): void;
}
type SessionClass = new (url: string, options: object) => Session;

/** The browser's class; undefined where there is none, or no page may use it. */
export function webTransportClass(): SessionClass | undefined {
  const found = (globalThis as { WebTransport?: SessionClass }).WebTransport;
  return typeof found === "function" ? found : undefined;
}

/**
 * A session as a WebSocket is seen: its one stream, which the leaf opens, carries bytes both ways. The
 * certificate is known by its hash. The end of the stream is the end.
 */
export class WebTransportSocket implements WebSocketLike {
  binaryType = "arraybuffer";
  readyState = 0;
  bufferedAmount = 0;
  onopen: ((event: any) => void) | null = null;
  onmessage: ((event: any) => void) | null = null;
  onerror: ((event: any) => void) | null = null;
  onclose: ((event: any) => void) | null = null;
  #session: Session;
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined;
  #held: { go: () => void; gone: Promise<void> } | undefined;

  /** Throws what the browser throws for what it does not even try. */
  constructor(SessionClass: SessionClass, { url, certificateHashes }: Way) {
    const serverCertificateHashes = certificateHashes.map((hash) => ({ algorithm: "sha-256", value: bytesOf(hash) }));
    this.#session = new SessionClass(url, { serverCertificateHashes });
    this.#session.closed.catch(() => {}); // what it says, the stream has said
    this.#run().then(
      () => this.#end(true, ""),
      (cause) => this.#end(false, messageOf(cause)),
    );
  }

  async #run(): Promise<void> {
    await this.#session.ready;
    const streams = this.#session.incomingBidirectionalStreams.getReader();
    const { value: stream } = await streams.read();
    if (!stream) throw new Error("the session ended before it had a stream");
    this.#writer = stream.writable.getWriter();
    this.#writer.closed.catch(() => {}); // as above
    if (this.readyState !== 0) return;
    this.readyState = 1;
    this.onopen?.({});
    if (this.#held) await Promise.race([this.#held.gone, this.#session.closed]);
    const reader = stream.readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      if (value.byteLength > 0) this.onmessage?.({ data: value });
    }
  }

  /** Nobody listens to what comes: nothing is read until {@link claim}. */
  hold(): void {
    let go!: () => void;
    const gone = new Promise<void>((yes) => (go = yes));
    this.#held = { go, gone };
  }

  claim(): void {
    this.#held?.go();
    this.#held = undefined;
  }

  /** The chunk is the stream's from now on. */
  send(chunk: Uint8Array<ArrayBuffer>): void {
    if (this.readyState !== 1) return;
    const n = chunk.byteLength;
    this.bufferedAmount += n;
    const sent = () => void (this.bufferedAmount -= n);
    this.#writer!.write(chunk).then(sent, sent); // a failure ends the reading, too
  }

  /** What was sent before is written first, if the leaf reads it. */
  close(): void {
    if (this.readyState > 1) return;
    const opened = this.readyState === 1;
    this.readyState = 2;
    if (opened) this.#writer!.close().catch(() => this.terminate());
    else this.terminate();
  }

  /** Ends it at once. */
  terminate(): void {
    this.#end(false, "");
  }

  #end(wasClean: boolean, reason: string): void {
    if (this.readyState === 3) return;
    this.readyState = 3;
    try {
      this.#session.close();
    } catch {
      // it has ended
    }
    this.onclose?.({ wasClean, code: wasClean ? 1000 : 1006, reason });
  }
}

function bytesOf(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}
