// Bundles a page with one of the bundlers, each as it is used without configuration.
//
//   node bundle.mjs <esbuild|vite|webpack|rollup> <folder with app.mjs and node_modules> <folder for the page>
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [bundler, app, out] = process.argv.slice(2);
const entry = join(app, "app.mjs");
const resolve = (name) => createRequire(pathToFileURL(entry)).resolve(name);
mkdirSync(out, { recursive: true });
const page = (script) => `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>bundled</title><body><script type="module" src="${script}"></script>`;

/** esbuild and Rollup leave new URL(…, import.meta.url) as it is: the module is put beside the bundle. */
function besideTheBundle() {
  copyFileSync(resolve("kinopio-hub/kinopio-hub.wasm"), join(out, "kinopio-hub.wasm"));
  writeFileSync(join(out, "index.html"), page("./bundle.js"));
}

const bundlers = {
  async esbuild() {
    const { build } = await import("esbuild");
    await build({ entryPoints: [entry], bundle: true, format: "esm", minify: true, outfile: join(out, "bundle.js"), logLevel: "warning", define: { "process.env.NODE_ENV": '"production"' } });
    besideTheBundle();
  },
  async vite() {
    const { build } = await import("vite");
    writeFileSync(join(app, "index.html"), page("./app.mjs"));
    await build({ root: app, base: "./", configFile: false, logLevel: "warn", build: { outDir: out, emptyOutDir: true } });
  },
  async webpack() {
    const { default: webpack } = await import("webpack");
    const stats = await new Promise((yes, no) => webpack({ mode: "production", context: app, entry, output: { path: out, filename: "bundle.js" } }, (error, stats) => (error ? no(error) : yes(stats))));
    if (stats.hasErrors()) throw new Error(stats.toString("errors-only"));
    writeFileSync(join(out, "index.html"), page("./bundle.js"));
  },
  async rollup() {
    const { rollup } = await import("rollup");
    const node = { name: "node", resolveId: (name) => (name === "kinopio-hub" ? join(resolve("kinopio-hub/package.json"), "../dist/index.mjs") : null) };
    const bundle = await rollup({ input: entry, plugins: [node], external: /^(node:|ws$)/ });
    await bundle.write({ file: join(out, "bundle.js"), format: "es", inlineDynamicImports: true });
    await bundle.close();
    besideTheBundle();
  },
};
await bundlers[bundler]();
