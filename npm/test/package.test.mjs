import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { build } from "esbuild";
import { root, startServer } from "./helpers.mjs";
import { startRegistry } from "./registry.mjs";

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
  const types = readdirSync(join(root, "src"), { recursive: true }).map((name) => name.replaceAll("\\", "/")).filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));
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

test("the types are what types/use.ts and types/strict/schema.ts say, in a project that checks the declarations, too", () => {
  for (const project of ["test/types", "test/types/strict"]) {
    execFileSync(process.execPath, [join(root, "node_modules/typescript/bin/tsc"), "-p", join(root, project)], { encoding: "utf8" });
  }
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

test("what a program does not use of it is not in its bundle", async () => {
  const bundle = async (contents) => {
    const { outputFiles } = await build({ stdin: { contents, resolveDir: out }, nodePaths: [join(out, "stage")], bundle: true, format: "esm", minify: true, write: false });
    return outputFiles[0].text.length;
  };
  assert.ok((await bundle('import KinopioHub from "kinopio-hub"; console.log(1)')) < 50, "nothing");
  assert.ok((await bundle('import { KinopioError, KINOPIO_STATE_EVENT } from "kinopio-hub"; console.log(KinopioError, KINOPIO_STATE_EVENT)')) < 1000, "two names");
  assert.ok((await bundle('import KinopioHub from "kinopio-hub"; console.log(KinopioHub)')) > 20_000, "all of it");
});

// Installs into empty projects. KINOPIO_PACK_TEST=long has more package managers and runtimes
// (make pack-test, which installs them).

const tools = join(root, "tools/long/node_modules");
const managers = { npm: ["npm", ["install", "--no-audit", "--no-fund"]] };
const runtimes = { [`node ${process.versions.node}`]: [process.execPath, []] };
if (process.env.KINOPIO_PACK_TEST === "long") {
  managers.pnpm = [join(tools, ".bin/pnpm"), ["install", "--no-frozen-lockfile"]];
  managers.yarn = [join(tools, ".bin/yarn"), ["install", "--no-lockfile", "--non-interactive"]];
  runtimes["node 22"] = [join(tools, "node22/bin/node"), []];
  runtimes["node 24"] = [join(tools, "node24/bin/node"), []];
  runtimes.bun = [join(tools, "@oven/bun-linux-x64/bin/bun"), ["run"]];
  runtimes.deno = [join(tools, "@deno/linux-x64-glibc/deno"), ["run", "--allow-all", "--no-lock"]];
}

/** Runs a program to its end, while this one serves it. */
function run(program, args, cwd, env = {}) {
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd, env: { ...process.env, KINOPIO_SKIP_CA_TRUST_INSTALL: "1", ...env }, timeout: 150_000 }, (error, stdout, stderr) =>
      error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve(stdout));
  });
}

/** An empty project with the packed package installed. */
async function project(manager, registry, ...more) {
  const folder = join(out, `project-${manager}${more.join("")}`);
  mkdirSync(folder);
  const dependencies = { "kinopio-hub": `file:${join(out, main.file)}` };
  writeFileSync(join(folder, "package.json"), JSON.stringify({ name: "project", version: "1.0.0", private: true, type: "module", dependencies }));
  writeFileSync(join(folder, ".npmrc"), `@kinopio-hub:registry=${registry.url}\n`);
  writeFileSync(join(folder, ".yarnrc"), `"@kinopio-hub:registry" "${registry.url}"\n`);
  const [program, args] = managers[manager];
  await run(program, [...args, ...more], folder, { npm_config_cache: join(out, "cache"), npm_config_prefer_offline: "true", YARN_CACHE_FOLDER: join(out, "yarn-cache"), npm_config_store_dir: join(out, "pnpm-store") });
  return folder;
}

const program = (servers) => `
  import KinopioHub from "kinopio-hub";
  import { startLeafNode } from "kinopio-hub/leaf";
  const hub = new KinopioHub({ servers: [${JSON.stringify(servers)}] });
  await hub.math.double.serve((n) => n * 2);
  console.log("answer", await hub.math.double.req(21));
  await hub.dispose();
  const leaf = await startLeafNode({ discoveryNamespace: "project", lanBindAddress: "127.0.0.1", advertisedHostname: "127.0.0.1", webSocketTls: false });
  console.log(leaf.status().phase);
  await leaf.stop();`;

for (const manager of Object.keys(managers)) {
  test(`installed by ${manager}, it works, with the program of this platform alone`, { timeout: 400_000 }, async () => {
    const registry = await startRegistry(out, [native], main.manifest);
    const server = await startServer();
    try {
      const folder = await project(manager, registry);
      assert.deepEqual(registry.asked, [native.name]);
      assert.match(await run(join(folder, "node_modules/.bin/kinopio-hub"), ["version"], folder), /^kinopio-hub .*nats-server/);
      writeFileSync(join(folder, "main.mjs"), program(server.ws));
      for (const [name, [path, args]] of Object.entries(runtimes)) {
        assert.equal(await run(path, [...args, "main.mjs"], folder), "answer 42\nrunning\n", name);
      }
    } finally {
      await server.stop();
      await registry.stop();
    }
  });
}

test("installed without optional packages, hubs work, and the leaf says what to install", { timeout: 200_000 }, async () => {
  const registry = await startRegistry(out, [native], main.manifest);
  const server = await startServer();
  try {
    const folder = await project("npm", registry, "--omit=optional");
    assert.deepEqual(registry.asked, []);
    assert.ok(!existsSync(join(folder, "node_modules/@kinopio-hub")));
    writeFileSync(join(folder, "main.mjs"), program(server.ws).replace(/const leaf[^]*$/, "await startLeafNode({ discoveryNamespace: \"project\" }).catch((error) => console.log(error.code, error.message));"));
    const said = await run(process.execPath, ["main.mjs"], folder);
    assert.match(said, /^answer 42\nLEAF_FAILED .*npm install @kinopio-hub\//);
  } finally {
    await server.stop();
    await registry.stop();
  }
});
