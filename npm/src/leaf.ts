/**
 * Run a leaf from Node: a NATS server on the LAN, bridged to the backbone, with a manifest that
 * browsers find. The work is done by the native kinopio-hub program.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { KinopioError } from "./errors.js";
import { findBinary } from "./leaf-binary.js";
import { toFlags } from "./leaf-flags.js";
import type { LeafHandle, LeafOptions, LeafStatus } from "./leaf-types.js";

export { KinopioError } from "./errors.js";
export type { KinopioErrorCode } from "./errors.js";
export type { LeafHandle, LeafOptions, LeafStatus } from "./leaf-types.js";

const stopMs = 5000; // after that the program is killed

/**
 * Starts a leaf and resolves when it runs, whether or not the backbone answers. It ends with
 * `stop()`, and with this process, however that ends.
 *
 * @throws KinopioError INVALID_CONFIG; LEAF_FAILED with the program's last words
 */
export async function startLeafNode(options: LeafOptions): Promise<LeafHandle> {
  const flags = toFlags(options);
  const child = spawn(findBinary(options.binary), ["leaf", "start", ...flags, "--json-lines", "--parent-pipe"], {
    stdio: ["pipe", "pipe", "pipe"],
    windowsHide: true,
  });
  const leaf = new LeafProcess(child);
  await leaf.running;
  return leaf;
}

class LeafProcess implements LeafHandle {
  readonly running: Promise<void>;
  #child: ChildProcessWithoutNullStreams;
  #status: LeafStatus | undefined;
  #words = ""; // the end of what it wrote to standard error
  #ended: Promise<void>;

  constructor(child: ChildProcessWithoutNullStreams) {
    this.#child = child;
    child.stdin.on("error", () => {}); // it may end first
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-4000);
    });
    this.#ended = new Promise((resolve) => {
      child.once("close", () => resolve());
      child.once("error", () => resolve());
    });
    this.running = new Promise((resolve, reject) => {
      child.once("error", (cause) => reject(new KinopioError("LEAF_FAILED", `start leaf: ${cause.message}`, { cause })));
      child.once("close", (code, signal) => reject(this.#failure(code, signal)));
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!this.#read(line)) return;
        if (this.#status?.phase === "running") resolve();
      });
    });
  }

  get websocketUrl(): string {
    return this.status().websocketUrl;
  }
  get wssUrl(): string {
    return this.status().wssUrl;
  }
  get discoveryUrl(): string {
    return this.status().discoveryUrl;
  }
  get advertisedHostname(): string {
    return this.status().advertisedHostname;
  }
  get clientUrl(): string {
    return this.status().clientUrl;
  }
  get monitorUrl(): string {
    return this.status().monitorUrl;
  }

  status(): LeafStatus {
    return structuredClone(this.#status!);
  }

  async stop(): Promise<void> {
    this.#child.stdin.end(); // what the program takes as its parent's end
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), stopMs);
    await this.#ended;
    clearTimeout(timer);
    if (this.#status) this.#status = { ...this.#status, phase: "stopped", bridgeState: "disconnected", manifest: null };
  }

  #read(line: string): boolean {
    try {
      const document: unknown = JSON.parse(line);
      if (typeof document !== "object" || document === null || !("phase" in document)) return false;
      this.#status = document as LeafStatus;
      return true;
    } catch {
      return false; // not for us
    }
  }

  #failure(code: number | null, signal: NodeJS.Signals | null): KinopioError {
    const words = this.#words.trim().replace(/^error: /, "");
    return new KinopioError("LEAF_FAILED", `start leaf: ${words || `the program ended with ${signal ?? `exit code ${code}`}`}`);
  }
}
