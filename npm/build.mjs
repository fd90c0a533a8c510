// Builds dist/ from src/: the ES module, the leaf entry, the <script> build and the types.
// The .wasm itself is built by Go (see the Makefile).
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = fileURLToPath(new URL(".", import.meta.url));
const goroot = execFileSync("go", ["env", "GOROOT"], { encoding: "utf8", cwd: here }).trim();
const { version } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const platforms = Object.keys(JSON.parse(readFileSync(join(here, "platforms.json"), "utf8")));

/**
 * Go's wasm_exec.js as a module. It writes to globalThis and reads a variable fs; as the body of
 * a function with these names as parameters it adds nothing to the page.
 */
const wasmExec = {
  name: "wasm-exec",
  setup(build) {
    build.onResolve({ filter: /^virtual:wasm-exec$/ }, ({ path }) => ({ path, namespace: "go" }));
    build.onLoad({ filter: /.*/, namespace: "go" }, () => ({
      contents: `export function loadGo(globalThis, fs) {\n${readFileSync(join(goroot, "lib/wasm/wasm_exec.js"), "utf8")}\nreturn globalThis.Go;\n}`,
      loader: "js",
    }));
  },
};

/** Gives the <script> build its own way of finding the .wasm. */
const scriptLocation = {
  name: "script-location",
  setup(build) {
    build.onResolve({ filter: /\/wasm-location\.js$/ }, () => ({ path: join(here, "src/wasm-location.global.ts") }));
  },
};

const common = {
  absWorkingDir: here,
  bundle: true,
  sourcemap: true,
  sourcesContent: true,
  target: "es2022",
  logLevel: "warning",
  banner: {
    js: `/*! kinopio-hub ${version}, GPL-3.0-or-later. Contains wasm_exec.js: Copyright The Go Authors, BSD-3-Clause. */`,
  },
};

const node = {
  ...common,
  format: "esm",
  platform: "node",
  define: { PACKAGE_VERSION: JSON.stringify(version), PLATFORMS: JSON.stringify(platforms) },
};

await Promise.all([
  build({ ...common, entryPoints: ["src/index.ts"], outfile: "dist/index.mjs", format: "esm", plugins: [wasmExec] }),
  build({ ...node, entryPoints: ["src/leaf.ts"], outfile: "dist/leaf.mjs" }),
  build({ ...node, entryPoints: ["src/cli.ts"], outfile: "dist/cli.mjs" }),
  build({
    ...common,
    entryPoints: ["src/global.ts"],
    outfile: "dist/kinopio-hub.global.js",
    format: "iife",
    minify: true,
    plugins: [scriptLocation, wasmExec],
  }),
]);
execFileSync(process.execPath, [join(here, "node_modules/typescript/bin/tsc"), "-p", join(here, "tsconfig.json")], { stdio: "inherit" });
