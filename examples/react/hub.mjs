// The hub of the page: one, however often this module is run again. In development Vite and Next run it anew
// with each edit, and React's StrictMode mounts every component twice; a hub that is made there stays connected.
import KinopioHub from "kinopio-hub";

const kept = Symbol.for("app.hub");

export const hub = (globalThis[kept] ??= new KinopioHub({
  servers: [new URLSearchParams(globalThis.location?.search).get("server") ?? "wss://demo.nats.io:8443"],
  autoConnect: typeof window === "object", // not where pages are rendered on a server
}));
