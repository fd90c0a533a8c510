// Packs what npm publishes: kinopio-hub, and a package with the native program for each platform.
//
//   node scripts/pack.mjs [--out npm/pack] [--platforms linux-x64,darwin-arm64]
//
// Needs npm/dist (make build), Go and npm. The tarballs and manifest.json, which lists them, are in
// the folder of --out; the folders they were made of are in its folder stage.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { licences } from "./licences.mjs";

const root = fileURLToPath(new URL("..", import.meta.url));
const npm = join(root, "npm");
const manifest = JSON.parse(readFileSync(join(npm, "package.json"), "utf8"));
const platforms = JSON.parse(readFileSync(join(npm, "platforms.json"), "utf8"));
const { values: flags } = parseArgs({
  options: { out: { type: "string", default: join(npm, "pack") }, platforms: { type: "string", default: Object.keys(platforms).join() } },
});
const out = resolve(flags.out);
const wanted = flags.platforms.split(",").filter(Boolean);
for (const name of wanted) {
  if (!platforms[name]) fail(`--platforms ${name}: want some of ${Object.keys(platforms).join(",")}`);
}

rmSync(out, { recursive: true, force: true });
const packed = [packMain(), ...wanted.map(packPlatform)];
writeFileSync(join(out, "manifest.json"), JSON.stringify(packed, null, 2) + "\n");
for (const { name, version, file, size } of packed) console.log(`${name}@${version}  ${file}  ${size} bytes`);

/** The package that people name. */
function packMain() {
  const folder = stage("kinopio-hub");
  const wasm = join(npm, "dist/kinopio-hub.wasm");
  compress(wasm, ".gz", (data) => gzipSync(data, { level: 9 }));
  compress(wasm, ".br", (data) =>
    brotliCompressSync(data, { params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_LGWIN]: 24, [constants.BROTLI_PARAM_SIZE_HINT]: data.length } }));
  cpSync(join(npm, "dist"), join(folder, "dist"), { recursive: true });
  const sums = {};
  for (const name of ["kinopio-hub.global.js", "kinopio-hub.wasm", "index.mjs"]) {
    sums[name] = `sha384-${createHash("sha384").update(readFileSync(join(folder, "dist", name))).digest("base64")}`;
  }
  writeFileSync(join(folder, "dist/integrity.json"), JSON.stringify(sums, null, 2) + "\n");
  cpSync(join(npm, "README.md"), join(folder, "README.md"));
  writeFileSync(join(folder, "THIRD_PARTY_LICENSES.txt"), licences(root, "./wasm", { GOOS: "js", GOARCH: "wasm" }));
  const { scripts: _scripts, devDependencies: _dev, ...rest } = manifest;
  const optionalDependencies = Object.fromEntries(Object.keys(platforms).map((name) => [`@kinopio-hub/${name}`, manifest.version]));
  return pack(folder, { ...rest, files: [...rest.files, "THIRD_PARTY_LICENSES.txt"], optionalDependencies });
}

/** The native program of one platform. */
function packPlatform(name) {
  const { goos, goarch, goarm } = platforms[name];
  const [os, cpu] = name.split("-");
  const folder = stage(name);
  const program = join(folder, "bin", goos === "windows" ? "kinopio-hub.exe" : "kinopio-hub");
  const env = { GOOS: goos, GOARCH: goarch, ...(goarm && { GOARM: goarm }), CGO_ENABLED: "0" };
  execFileSync("go", ["build", "-trimpath", "-buildvcs=false", `-ldflags=-s -w -X main.version=${manifest.version}`, "-o", program, "./cmd/kinopio-hub"], {
    cwd: root, stdio: ["ignore", "inherit", "inherit"], env: { ...process.env, ...env },
  });
  writeFileSync(join(folder, "README.md"), `# @kinopio-hub/${name}\n\nThe kinopio-hub program for ${os} on ${cpu}. It comes with the package [kinopio-hub](https://www.npmjs.com/package/kinopio-hub), which is the one to install.\n`);
  writeFileSync(join(folder, "THIRD_PARTY_LICENSES.txt"), licences(root, "./cmd/kinopio-hub", env));
  return pack(folder, {
    name: `@kinopio-hub/${name}`,
    version: manifest.version,
    description: `The kinopio-hub program for ${os} on ${cpu}`,
    license: manifest.license,
    homepage: manifest.homepage,
    repository: manifest.repository,
    type: "commonjs",
    os: [os],
    cpu: [cpu],
    preferUnplugged: true,
    publishConfig: { access: "public" },
    files: ["bin", "THIRD_PARTY_LICENSES.txt"],
  });
}

function stage(name) {
  const folder = join(out, "stage", name);
  mkdirSync(folder, { recursive: true });
  return folder;
}

function pack(folder, manifest) {
  writeFileSync(join(folder, "package.json"), JSON.stringify(manifest, null, 2) + "\n");
  cpSync(join(root, "LICENSE"), join(folder, "LICENSE"));
  const listing = execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", out], {
    cwd: folder, encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], env: { ...process.env, npm_config_loglevel: "error" }, shell: process.platform === "win32",
  });
  const answer = JSON.parse(listing);
  const [one] = Array.isArray(answer) ? answer : Object.values(answer);
  const data = readFileSync(join(out, one.filename));
  return {
    name: manifest.name,
    version: manifest.version,
    file: one.filename,
    size: data.length,
    unpackedSize: one.unpackedSize,
    integrity: `sha512-${createHash("sha512").update(data).digest("base64")}`,
    files: one.files.map(({ path, size, mode }) => ({ path, size, mode })),
    manifest,
  };
}

/** Makes a compressed sibling, unless the one that is there is younger than the file. */
function compress(file, ending, how) {
  const stat = (name) => statSync(name, { throwIfNoEntry: false })?.mtimeMs ?? -1;
  if (stat(file) < 0) fail(`${file} is missing: run make build first`);
  if (stat(file + ending) > stat(file)) return;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file + ending, how(readFileSync(file)));
}

function fail(why) {
  console.error(`error: ${why}`);
  process.exit(1);
}
