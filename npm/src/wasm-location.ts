/** Where the module lies when nobody says otherwise: beside this script. Bundlers know this form. */
export function defaultWasmUrl(): URL | string | undefined {
  return new URL("./kinopio-hub.wasm", import.meta.url);
}
