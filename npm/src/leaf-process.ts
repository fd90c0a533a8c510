import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { createInterface } from "node:readline";
import { KinopioError } from "./errors.js";

const stopMs = 10_000; // after that the program is killed

/**
 * A native kinopio-hub program that reports its status, one JSON document a line (docs/leaf.md),
 * and ends when its standard input does: with this process, however that ends.
 */
export class LeafProcess<Status extends object> {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #verb: string;
  readonly #ended: Promise<void>;
  #status: Status | undefined;
  #words = ""; // the end of what it wrote to standard error
  #failure: KinopioError | undefined;
  #stopping = false;
  #over = false;

  /** @param verb what is done, as errors begin: "start leaf" */
  constructor(verb: string, program: string, args: string[], env: NodeJS.ProcessEnv = {}) {
    this.#verb = verb;
    const child = spawn(program, [...args, "--json-lines", "--parent-pipe"], {
      stdio: ["pipe", "pipe", "pipe"],
      windowsHide: true,
      env: { ...process.env, ...env },
    });
    this.#child = child;
    child.stdin.on("error", () => {}); // it may end first
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#words = (this.#words + text).slice(-4000);
    });
    this.#ended = new Promise((resolve) => {
      child.once("close", (code, signal) => {
        if (!this.#stopping) this.#failure ??= this.#error(code, signal);
        this.#over = true;
        resolve();
      });
      child.once("error", (cause) => {
        this.#failure ??= new KinopioError("LEAF_FAILED", `${verb}: ${cause.message}`, { cause });
        this.#over = true;
        resolve();
      });
    });
  }

  /**
   * Follows the status, and resolves when it is as wanted.
   *
   * @param isStatus tells the program's documents from other lines
   * @throws KinopioError LEAF_FAILED with the program's last words
   */
  async begin(isStatus: (document: object) => boolean, wanted: (status: Status) => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      void this.#ended.then(() => reject(this.#failure));
      createInterface({ input: this.#child.stdout }).on("line", (line) => {
        const document = parse(line);
        if (!document || !isStatus(document)) return;
        this.#status = document as Status;
        if (wanted(this.#status)) resolve();
      });
    });
  }

  /** What it said last, as a copy. */
  get status(): Status {
    return structuredClone(this.#status!);
  }

  /** Why it has ended, if nobody asked it to. */
  get failure(): KinopioError | undefined {
    return this.#failure;
  }

  /** Whether the program has ended. */
  get over(): boolean {
    return this.#over;
  }

  /** Ends the program and resolves when it has ended. */
  async stop(): Promise<void> {
    this.#stopping = true;
    this.#child.stdin.end(); // what the program takes as its parent's end
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), stopMs);
    await this.#ended;
    clearTimeout(timer);
  }

  #error(code: number | null, signal: NodeJS.Signals | null): KinopioError {
    const words = this.#words.trim().replace(/^error: /, "");
    return new KinopioError("LEAF_FAILED", `${this.#verb}: ${words || `the program ended with ${signal ?? `exit code ${code}`}`}`);
  }
}

function parse(line: string): object | undefined {
  try {
    const document: unknown = JSON.parse(line);
    return typeof document === "object" && document !== null ? document : undefined;
  } catch {
    return undefined; // not for us
  }
}
