import { KinopioError } from "./errors.js";
import type { AutoLeafOptions, LeafOptions } from "./leaf-types.js";
import { nearest } from "./nearest.js";

const flagOf = {
  discoveryNamespace: "--discovery-namespace",
  advertisedHostname: "--advertised-hostname",
  nodeId: "--node-id",
  cacheDir: "--cache-dir",
  runtimeDir: "--runtime-dir",
  lanBindAddress: "--lan-bind-address",
} as const;
const portFlag = { client: "--client-port", websocket: "--websocket-port", discovery: "--discovery-port", monitor: "--monitor-port" } as const;
const tlsFlag = { certFile: "--tls-cert-file", keyFile: "--tls-key-file" } as const;
const known = [...Object.keys(flagOf), "backboneServers", "webSocketTls", "webTransport", "ports", "tls", "binary"];

const autoKnown = [...known, "leaderMissingGraceMs", "fastFailover", "warmStandby", "namespaceSecret"];

/**
 * The command line and the environment of `leaf auto`. Others see command lines, so the secret is
 * in the environment.
 *
 * @throws KinopioError INVALID_CONFIG
 */
export function toAutoFlags(options: AutoLeafOptions): { flags: string[]; env: NodeJS.ProcessEnv } {
  only("", options, autoKnown);
  const { leaderMissingGraceMs: grace, fastFailover, warmStandby, namespaceSecret, ...leaf } = options;
  const flags = toFlags(leaf);
  if (grace !== undefined) {
    if (!Number.isInteger(grace) || grace < 1 || grace > 3_600_000) throw invalid("leaderMissingGraceMs", grace, "milliseconds from 1 to 3600000");
    flags.push(`--leader-missing-grace-ms=${grace}`);
  }
  for (const [name, flag, value] of [["fastFailover", "--fast-failover", fastFailover], ["warmStandby", "--warm-standby", warmStandby]] as const) {
    if (value !== undefined && typeof value !== "boolean") throw invalid(name, value, "true or false");
    if (value) flags.push(flag);
  }
  if (namespaceSecret !== undefined && (typeof namespaceSecret !== "string" || Buffer.byteLength(namespaceSecret) < 16)) {
    throw new KinopioError("INVALID_CONFIG", "invalid configuration: namespaceSecret (not shown): want a string of at least 16 bytes");
  }
  return { flags, env: namespaceSecret === undefined ? {} : { KINOPIO_NAMESPACE_SECRET: namespaceSecret } };
}

/**
 * The command line of options.
 *
 * @throws KinopioError INVALID_CONFIG: the option, its value, and what would be right
 */
export function toFlags(options: LeafOptions): string[] {
  only("", options, known);
  if (!options.discoveryNamespace) throw invalid("discoveryNamespace", options.discoveryNamespace, "the name that the nodes of one system share");
  const flags: string[] = [];
  const add = (flag: string, field: string, value: unknown, type: "string" | "number") => {
    if (value === undefined) return;
    if (typeof value !== type || value === "") throw invalid(field, value, `a ${type}`);
    flags.push(`${flag}=${value}`);
  };
  for (const [name, flag] of Object.entries(flagOf)) add(flag, name, options[name as keyof typeof flagOf], "string");
  const backbone = options.backboneServers ?? [];
  if (!Array.isArray(backbone)) throw invalid("backboneServers", backbone, "an array of URLs");
  backbone.forEach((url, i) => add("--backbone-server", `backboneServers[${i}]`, url, "string"));
  only("ports.", options.ports ?? {}, Object.keys(portFlag));
  for (const [name, flag] of Object.entries(portFlag)) add(flag, `ports.${name}`, options.ports?.[name as keyof typeof portFlag], "number");
  only("tls.", options.tls ?? {}, Object.keys(tlsFlag));
  for (const [name, flag] of Object.entries(tlsFlag)) add(flag, `tls.${name}`, options.tls?.[name as keyof typeof tlsFlag], "string");
  for (const [name, flag] of [["webSocketTls", "--no-websocket-tls"], ["webTransport", "--no-webtransport"]] as const) {
    const value = options[name];
    if (value !== undefined && typeof value !== "boolean") throw invalid(name, value, "true or false");
    if (value === false) flags.push(flag);
  }
  return flags;
}

function only(path: string, given: object, names: string[]): void {
  if (typeof given !== "object" || given === null) throw invalid(path.slice(0, -1) || "options", given, "an object");
  for (const name of Object.keys(given)) {
    if (names.includes(name)) continue;
    const hint = nearest(name, names);
    throw new KinopioError("INVALID_CONFIG", `invalid configuration: unknown option ${path}${name}${hint ? `: did you mean ${path}${hint}?` : ""}`);
  }
}

function invalid(field: string, value: unknown, want: string): KinopioError {
  return new KinopioError("INVALID_CONFIG", `invalid configuration: ${field} = ${JSON.stringify(value)}: want ${want}`);
}
