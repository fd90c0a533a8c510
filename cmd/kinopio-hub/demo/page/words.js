// How the page speaks of servers and moves.
import { config } from "./config.js";

const host = (url) => (url ? new URL(url).host : "");

/** "leaf", "configured" or "" for a server's URL. */
export function viaOf(url) {
  if (!url) return "";
  return host(url) === host(config.leafUrl) ? "leaf" : "configured";
}

/** A server's name for people. */
export function place(url) {
  return { leaf: "leaf", configured: "backbone", "": "–" }[viaOf(url)];
}

const reasons = {
  connect: "first connection",
  reconnect: "connected again",
  "leaf found": "a leaf was found on this network",
  "leaf leaving": "the leaf said that it is going",
  "server leaving": "the server said that it is going",
  "leaf lost": "the leaf vanished",
  "server lost": "the server vanished",
  faster: "another server is faster",
  requested: "the page asked for it",
};

/** Why a move was made. */
export function why(move) {
  const reason = reasons[move.reason] ?? move.reason ?? "";
  return move.error ? `${reason}; stayed: ${errorText(move.error)}` : reason;
}

/** An error as one line. */
export function errorText(error) {
  return String(error?.message ?? error);
}

/** Milliseconds, with a decimal where it matters. */
export function ms(value) {
  if (typeof value !== "number" || !Number.isFinite(value)) return "–";
  return value < 9.95 ? value.toFixed(1) : String(Math.round(value));
}
