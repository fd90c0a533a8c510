/**
 * Run a leaf from Node: a NATS server on the LAN, bridged to the backbone, with a manifest that
 * browsers find. The work is done by the native kinopio-hub program.
 */
import { findBinary } from "./leaf-binary.js";
import { toAutoFlags, toFlags } from "./leaf-flags.js";
import { LeafProcess } from "./leaf-process.js";
import type { AutoLeafHandle, AutoLeafOptions, AutoLeafStatus, LeafHandle, LeafManifest, LeafOptions, LeafStatus } from "./leaf-types.js";

export { KinopioError } from "./errors.js";
export type { KinopioErrorCode } from "./errors.js";
export type {
  AutoLeafHandle, AutoLeafOptions, AutoLeafRole, AutoLeafState, AutoLeafStatus, LeafHandle, LeafManifest, LeafOptions, LeafStatus,
} from "./leaf-types.js";

/**
 * Starts a leaf and resolves when it runs, whether or not the backbone answers. It ends with
 * `stop()`, and with this process, however that ends.
 *
 * @throws KinopioError INVALID_CONFIG; LEAF_FAILED with the program's last words
 */
export async function startLeafNode(options: LeafOptions): Promise<LeafHandle> {
  const flags = toFlags(options);
  const program = new LeafProcess<LeafStatus>("start leaf", findBinary("start leaf", options.binary), ["leaf", "start", ...flags]);
  await program.begin((document) => "phase" in document, (status) => status.phase === "running");
  return new Leaf(program);
}

/**
 * Takes part in the election of the one leaf of a LAN: runs a leaf here while this node leads,
 * and follows the leader otherwise. Resolves when the node takes part; `status()` tells how it
 * goes on. It ends with `stop()`, and with this process, however that ends.
 *
 * @throws KinopioError INVALID_CONFIG; LEAF_FAILED with the program's last words
 */
export async function enableAutoLeaf(options: AutoLeafOptions): Promise<AutoLeafHandle> {
  const { flags, env } = toAutoFlags(options);
  const program = new LeafProcess<AutoLeafStatus>("enable auto leaf", findBinary("enable auto leaf", options.binary), ["leaf", "auto", ...flags], env);
  await program.begin((document) => "state" in document && "role" in document, () => true);
  return new AutoLeaf(program);
}

class Leaf implements LeafHandle {
  readonly #program: LeafProcess<LeafStatus>;

  constructor(program: LeafProcess<LeafStatus>) {
    this.#program = program;
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
    const { status, over, failure } = this.#program;
    if (!over) return status;
    return { ...status, phase: "stopped", bridgeState: "disconnected", manifest: null, ...(failure && { lastError: failure.message }) };
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}

class AutoLeaf implements AutoLeafHandle {
  readonly #program: LeafProcess<AutoLeafStatus>;

  constructor(program: LeafProcess<AutoLeafStatus>) {
    this.#program = program;
  }

  state(): AutoLeafStatus["state"] {
    return this.status().state;
  }
  role(): AutoLeafStatus["role"] {
    return this.status().role;
  }
  currentLeader(): LeafManifest | null {
    return this.status().leader;
  }

  status(): AutoLeafStatus {
    const { status, over, failure } = this.#program;
    if (!over) return status;
    return { ...status, state: "stopped", role: "stopped", leader: null, localLeaf: null, ...(failure && { lastError: failure.message }) };
  }

  stop(): Promise<void> {
    return this.#program.stop();
  }
}
