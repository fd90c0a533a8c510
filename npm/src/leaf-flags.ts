import { KinopioError } from "./errors.js";
import type { LeafOptions } from "./leaf-types.js";
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
const known = [...Object.keys(flagOf), "backboneServers", "webSocketTls", "ports", "tls", "binary"];

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
  if (options.webSocketTls !== undefined && typeof options.webSocketTls !== "boolean") throw invalid("webSocketTls", options.webSocketTls, "true or false");
  if (options.webSocketTls === false) flags.push("--no-websocket-tls");
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
