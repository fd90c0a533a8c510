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
  ports?: { client?: number; websocket?: number; discovery?: number; monitor?: number };
  /** A certificate of your own, as PEM files, instead of one of the local CA. */
  tls?: { certFile: string; keyFile: string };
  /** The kinopio-hub program. Default: KINOPIO_HUB_BINARY, else the one of this package. */
  binary?: string;
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
  lastError?: string;
  lastBridgeError?: string;
  manifest: Record<string, unknown> | null;
  tls: {
    mode: string;
    certFile?: string;
    caCertFile?: string;
    notAfter?: string;
    trust: { state: "installed" | "skipped" | "failed" | "external"; detail: string; [more: string]: unknown };
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
