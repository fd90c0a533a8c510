// What only Node needs. Bundlers must not follow these imports, so they are put together at run time.

/** Whether this is Node, or something that behaves like it. */
export const isNode =
  typeof process === "object" && !!process.versions?.node && (process as { type?: string }).type !== "renderer";

/** Reads a file. */
export async function readFile(url: URL | string): Promise<Uint8Array<ArrayBuffer>> {
  const name = ["node:fs", "promises"].join("/");
  const fs = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  return fs.readFile(url);
}

/**
 * The WebSocket class of the `ws` package, without compression. `ca` are the only roots that a
 * certificate may come from; TLS ends before anything is sent where it does not.
 */
export async function wsPackage(): Promise<any> {
  const name = ["w", "s"].join("");
  const { default: WS } = await import(/* @vite-ignore */ /* webpackIgnore: true */ name);
  return class extends WS {
    constructor(url: string, ca?: string) {
      super(url, { perMessageDeflate: false, ...(ca === undefined ? {} : { ca: [ca] }) });
    }
  };
}
