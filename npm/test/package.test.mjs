import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { root } from "./helpers.mjs";

// What npm would publish, made as it is made for publishing, for this platform.

const platform = `${process.platform}-${process.arch}`;
const out = mkdtempSync(join(tmpdir(), "kinopio-pack-"));
after(() => rmSync(out, { recursive: true, force: true }));
execFileSync(process.execPath, [join(root, "../scripts/pack.mjs"), "--out", out, "--platforms", platform], { stdio: ["ignore", "ignore", "inherit"] });
const [main, native] = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
const paths = ({ files }) => files.map(({ path }) => path).sort();
const packed = (name) => readFileSync(join(out, "stage/kinopio-hub", name));
const tool = (name) => join(root, "tools/node_modules", name);

test("the package has what people need, and nothing else", () => {
  const types = readdirSync(join(root, "src")).filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
  assert.deepEqual(paths(main), [
    "LICENSE", "README.md", "THIRD_PARTY_LICENSES.txt", "package.json",
    ...types.map((name) => `dist/${name.replace(/\.ts$/, ".d.ts")}`),
    ...["cli.mjs", "index.mjs", "kinopio-hub.global.js", "leaf.mjs"].flatMap((name) => [`dist/${name}`, `dist/${name}.map`]),
    "dist/integrity.json", "dist/kinopio-hub.wasm", "dist/kinopio-hub.wasm.br", "dist/kinopio-hub.wasm.gz",
  ].sort());
  const program = process.platform === "win32" ? "bin/kinopio-hub.exe" : "bin/kinopio-hub";
  assert.deepEqual(paths(native), ["LICENSE", "README.md", "THIRD_PARTY_LICENSES.txt", program, "package.json"].sort());
});

test("the manifest: types first, every file that it names, the platforms in exactly this version, nothing to run at install", () => {
  const { exports, bin, optionalDependencies, version, scripts, devDependencies } = main.manifest;
  assert.deepEqual(Object.keys(exports), [".", "./leaf", "./global", "./kinopio-hub.wasm", "./package.json"]);
  for (const [name, target] of Object.entries(exports)) {
    if (typeof target === "object") assert.equal(Object.keys(target)[0], "types", name);
    for (const file of typeof target === "string" ? [target] : Object.values(target)) assert.ok(paths(main).includes(file.slice(2)), `${name}: ${file}`);
  }
  assert.ok(paths(main).includes(bin["kinopio-hub"]));
  const platforms = Object.keys(JSON.parse(readFileSync(join(root, "platforms.json"), "utf8")));
  assert.deepEqual(optionalDependencies, Object.fromEntries(platforms.map((name) => [`@kinopio-hub/${name}`, version])));
  assert.deepEqual([scripts, devDependencies, native.manifest.scripts], [undefined, undefined, undefined]);
  assert.deepEqual([native.manifest.os, native.manifest.cpu, native.version], [[process.platform], [process.arch], version]);
});

test("the compressed modules are the module, and the integrity values are those of the files", () => {
  const module = packed("dist/kinopio-hub.wasm");
  assert.ok(brotliDecompressSync(packed("dist/kinopio-hub.wasm.br")).equals(module), "brotli");
  assert.ok(gunzipSync(packed("dist/kinopio-hub.wasm.gz")).equals(module), "gzip");
  const sums = JSON.parse(packed("dist/integrity.json"));
  assert.deepEqual(Object.keys(sums), ["kinopio-hub.global.js", "kinopio-hub.wasm", "index.mjs"]);
  for (const [name, sum] of Object.entries(sums)) {
    assert.equal(sum, `sha384-${createHash("sha384").update(packed(`dist/${name}`)).digest("base64")}`, name);
  }
});

test("publint and arethetypeswrong have nothing to say", () => {
  const check = (script, ...args) => execFileSync(process.execPath, [tool(script), ...args], { encoding: "utf8", cwd: out });
  for (const { file } of [main, native]) assert.match(check("publint/src/cli.js", "run", join(out, file), "--strict"), /All good!/);
  // The .wasm is no module: nothing imports it, its URL is asked for.
  check("@arethetypeswrong/cli/dist/index.js", join(out, main.file), "--profile", "esm-only", "--exclude-entrypoints", "kinopio-hub.wasm", "--format", "ascii");
});

test("importing it starts nothing and touches nothing of a page or of Node: a server may render with it", () => {
  const code = `
    const before = Object.getOwnPropertyNames(globalThis).join();
    const { default: KinopioHub } = await import(${JSON.stringify(new URL(`file://${join(out, "stage/kinopio-hub/dist/index.mjs")}`).href)});
    if (Object.getOwnPropertyNames(globalThis).join() !== before) throw new Error("it made globals");
    const resources = process.getActiveResourcesInfo().filter((name) => /Timeout|Immediate|TCP|UDP|Process|Worker|MessagePort/.test(name));
    new KinopioHub({ autoConnect: false });
    console.log(JSON.stringify(resources));`;
  const said = execFileSync(process.execPath, ["--input-type=module", "-e", code], { encoding: "utf8", timeout: 30_000 });
  assert.deepEqual(JSON.parse(said), []);
  const sources = JSON.parse(packed("dist/index.mjs.map")).sources.join();
  assert.doesNotMatch(sources, /src\/(leaf|cli)/, "no process control in the root");
});
