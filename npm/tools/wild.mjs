// Makes one script of each package that changes the browser's own functions, as pages load them.
//
//   node wild.mjs <folder for the scripts>
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const scripts = {
  "zone": `import "zone.js";`,
  "zone-0.11": `import "zone.js-0.11/dist/zone.js";`,
  "sentry": `
    import * as Sentry from "@sentry/browser";
    Sentry.init({ dsn: "http://key@127.0.0.1:9/1" });`,
  "newrelic": `
    import { BrowserAgent } from "@newrelic/browser-agent/loaders/browser-agent";
    new BrowserAgent({
      init: { distributed_tracing: { enabled: true }, privacy: { cookies_enabled: false } },
      info: { beacon: "127.0.0.1:9", errorBeacon: "127.0.0.1:9", licenseKey: "key", applicationID: "1", sa: 1 },
      loader_config: { accountID: "1", trustKey: "1", agentID: "1", licenseKey: "key", applicationID: "1" },
    });`,
  "fetch-polyfill": `
    globalThis.fetch = undefined; // it fills a gap only; a Worker's cannot be deleted
    require("whatwg-fetch");`,
};

const [out] = process.argv.slice(2);
const here = fileURLToPath(new URL(".", import.meta.url));
for (const [name, contents] of Object.entries(scripts)) {
  await build({
    stdin: { contents, resolveDir: here, sourcefile: `${name}.mjs` },
    bundle: true, format: "iife", target: "es2020", outfile: join(out, `${name}.js`), logLevel: "error",
    define: { "process.env.NODE_ENV": '"production"' },
  });
}
