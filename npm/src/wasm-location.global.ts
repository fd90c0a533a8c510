// The <script> build's wasm-location.ts. document.currentScript must be read while the script
// runs for the first time.
const scriptUrl = findScript();

/** Where the module lies when nobody says otherwise: beside the script. */
export function defaultWasmUrl(): URL | string | undefined {
  return scriptUrl && new URL("kinopio-hub.wasm", scriptUrl);
}

function findScript(): string | undefined {
  const current = typeof document === "object" ? document.currentScript : null;
  if (current && "src" in current && current.src) return String(current.src);
  // In a Worker only the stack says which script importScripts is running.
  const found = /\b[a-z-]+:\/\/[^\s()]*?\.js(?=[?:\s)])/i.exec(new Error().stack ?? "");
  return found?.[0] ?? (typeof location === "object" ? location.href : undefined);
}
