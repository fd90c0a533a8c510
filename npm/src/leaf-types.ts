/** Options of a leaf. Ports that are not given are chosen freely. */
export interface LeafOptions {
  /** The name that the nodes of one system share. */
  discoveryNamespace: string;
  /** Leafnode URLs of the backbone, such as nats://backbone.example.com:7422. None: the leaf stands alone. */
  backboneServers?: string[];
  /** The name or address in the URLs for others. Default: the LAN address. */
  advertisedHostname?: string;
  /** The name of this node. Default: a random one. */
  nodeId?: string;
  /** Folder for the local CA. Default: KINOPIO_LEAF_CACHE_DIR, else the user's cache. */
  cacheDir?: string;
  /** Folder for the log while the leaf runs. Default: a temporary one. */
  runtimeDir?: string;
  /** The address for WebSockets and the manifest. Default: detected. */
  lanBindAddress?: string;
  /** wss and https on the LAN. Default true. */
  webSocketTls?: boolean;
  /** Sessions of pages that trust no CA, by WebTransport: UDP, at the WebSockets' port. Default true. */
  webTransport?: boolean;
  /** TCP ports: for NATS clients and monitoring on this machine, for WebSockets and the manifest on the LAN. */
  ports?: { client?: number; websocket?: number; discovery?: number; monitor?: number };
  /** A certificate of your own, as PEM files, instead of one of the local CA. */
  tls?: { certFile: string; keyFile: string };
  /** The kinopio-hub program. Default: KINOPIO_HUB_BINARY, else the one of the platform's package. */
  binary?: string;
}

/** What a leaf says where browsers look for it, at /.well-known/kinopio-leader.json. */
export interface LeafManifest {
  version: string;
  /** RFC 3339, UTC: after that it is not to be believed. */
  expiresAt?: string;
  leaderEpoch: number;
  advertisedHostname?: string;
  /** wss://, or ws:// without TLS; the two are the same. */
  websocketUrl?: string;
  wssUrl?: string;
  discoveryUrl?: string;
  /** The backbone's URLs. */
  fallbackServers: string[];
  bridgeState?: "connecting" | "connected" | "disconnected" | "error";
  /** Whole milliseconds; null when it was not measured. */
  backboneRttMs: number | null;
  leaseExpiresAt?: string;
  nodeId?: string;
  discoveryNamespace?: string;
  isLeader: boolean;
  candidateRole: AutoLeafRole;
  [more: string]: unknown;
}

/** Options of a node that takes part in the election. */
export interface AutoLeafOptions extends LeafOptions {
  /** Milliseconds for which a silent leader is waited for before another is elected. Default 10000. */
  leaderMissingGraceMs?: number;
  /** Holds a connection to the leader, whose proven death is not waited on. Default false. */
  fastFailover?: boolean;
  /** Keeps a leaf started, unannounced, while another node leads. Default false. */
  warmStandby?: boolean;
  /**
   * At least 16 bytes that all nodes of the namespace prove to know; nodes of 2.1.0 are then not
   * heard. Default: KINOPIO_NAMESPACE_SECRET, else none.
   */
  namespaceSecret?: string;
}

/** Where a node stands in the election. */
export type AutoLeafState =
  | "discovering" // listening for a leader before a first election
  | "electing" // there is no leader, and one must be found
  | "starting-leaf" // the leaf of this node is being started, to lead
  | "leader" // this node leads
  | "following-leader" // another node leads
  | "leader-missing-grace" // the leader is silent, and may yet come back
  | "stopped"; // this node takes no part any more

/** The same in the words that others are told. */
export type AutoLeafRole = "leader" | "follower" | "candidate" | "stopped";

/** What a node says of itself: the documents that `kinopio-hub leaf auto --json-lines` prints. */
export interface AutoLeafStatus {
  state: AutoLeafState;
  role: AutoLeafRole;
  /** The leader's manifest, this node's own when it leads; null when none is known. */
  leader: LeafManifest | null;
  nodeId: string;
  /** Whole milliseconds; null when it was not measured. */
  backboneRttMs: number | null;
  leaderEpoch: number;
  leaderMissingGraceMs: number;
  /** For how many evaluations running this node was much nearer to the backbone than the leader. */
  preemptionStreak: number;
  /** null when there is none. */
  lastError: string | null;
  /** The manifest of this node's leaf, if it runs one. */
  localLeaf: LeafManifest | null;
  mdnsAvailable: boolean;
  /** How many other nodes are heard. */
  peers: number;
  /** Where the leader's manifest is served on this machine, whoever leads. */
  manifestUrl: string;
  [more: string]: unknown;
}

/** A node that takes part. */
export interface AutoLeafHandle {
  state(): AutoLeafState;
  role(): AutoLeafRole;
  /** The leader's manifest, or null. */
  currentLeader(): LeafManifest | null;
  /** What the node said last. When its program has ended unasked, the state is "stopped" and `lastError` says why. */
  status(): AutoLeafStatus;
  /** Leaves the election, and stops the leaf; resolves when both have ended. May be called any number of times. */
  stop(): Promise<void>;
}

/** What the leaf says of itself: the document that `kinopio-hub leaf start --json` prints. */
export interface LeafStatus {
  phase: "starting" | "running" | "restarting" | "stopping" | "stopped";
  bridgeState: "connecting" | "connected" | "disconnected" | "error";
  websocketUrl: string;
  wssUrl: string;
  discoveryUrl: string;
  clientUrl: string;
  monitorUrl: string;
  advertisedHostname: string;
  nodeId: string;
  discoveryNamespace: string;
  backboneServers: string[];
  backboneRttMs: number | null;
  ports: { client: number; websocket: number; discovery: number; monitor: number };
  /** null when there is none. */
  lastError: string | null;
  lastBridgeError: string | null;
  manifest: LeafManifest | null;
  tls: {
    mode: string;
    certFile?: string;
    caCertFile?: string;
    notAfter?: string;
    trust: { state: "installed" | "skipped" | "failed" | "external"; detail: string; [more: string]: unknown };
  };
  webTransport: {
    /** It listens. */
    enabled: boolean;
    /** Why it does not, null when it does or is not wanted. */
    error: string | null;
    endpoints: { url: string; certificateHashes: string[] }[];
    sessions: number;
    /** Clients' IP addresses, and how many sessions each has. */
    addresses: Record<string, number>;
  };
  [more: string]: unknown;
}

/** A leaf that runs. */
export interface LeafHandle {
  /** For browsers on the LAN; the two are the same. */
  readonly websocketUrl: string;
  readonly wssUrl: string;
  /** Where the manifest is. */
  readonly discoveryUrl: string;
  readonly advertisedHostname: string;
  /** For NATS clients on this machine. */
  readonly clientUrl: string;
  /** The server's monitoring, on this machine. */
  readonly monitorUrl: string;
  /** What the leaf said last. */
  status(): LeafStatus;
  /** Stops the leaf; resolves when it has ended. May be called any number of times. */
  stop(): Promise<void>;
}
