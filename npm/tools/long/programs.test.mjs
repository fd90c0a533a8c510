import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

// The programs of all platforms, as make pack makes them for publishing; those of Linux are run,
// the ones of other processors by qemu.

const npm = fileURLToPath(new URL("../../", import.meta.url));
const platforms = JSON.parse(readFileSync(join(npm, "platforms.json"), "utf8"));
const out = join(npm, "pack");
execFileSync(process.execPath, [join(npm, "../scripts/pack.mjs"), "--out", out], { stdio: ["ignore", "ignore", "inherit"] });
const [main, ...programs] = JSON.parse(readFileSync(join(out, "manifest.json"), "utf8"));
const cache = mkdtempSync(join(tmpdir(), "kinopio-programs-"));
after(() => rmSync(cache, { recursive: true, force: true }));

/** What a program's first bytes say of where it runs: the format's name and the processor's number. */
function kind(program) {
  const bytes = readFileSync(program);
  const magic = bytes.readUInt32BE(0);
  if (magic === 0x7f454c46) return `elf ${bytes.readUInt16LE(18)}`;
  if (magic === 0xcffaedfe) return `mach-o ${bytes.readUInt32LE(4).toString(16)}`;
  const pe = bytes.readUInt16BE(0) === 0x4d5a ? bytes.readUInt32LE(0x3c) : 0;
  return pe > 0 && bytes.readUInt32BE(pe) === 0x50450000 ? `pe ${bytes.readUInt16LE(pe + 4).toString(16)}` : "unknown";
}

const kinds = {
  "linux-x64": "elf 62", "linux-arm64": "elf 183", "linux-arm": "elf 40",
  "darwin-x64": "mach-o 1000007", "darwin-arm64": "mach-o 100000c",
  "win32-x64": "pe 8664", "win32-arm64": "pe aa64",
};
const program = (name) => join(out, "stage", name, "bin", name.startsWith("win32") ? "kinopio-hub.exe" : "kinopio-hub");

test("there is a package for each platform, with a program for it", () => {
  assert.deepEqual(Object.keys(kinds).sort(), Object.keys(platforms).sort());
  assert.deepEqual(programs.map(({ name }) => name), Object.keys(platforms).map((name) => `@kinopio-hub/${name}`));
  for (const { name, version, manifest } of programs) {
    const platform = name.split("/")[1];
    assert.equal(kind(program(platform)), kinds[platform], name);
    assert.deepEqual([version, manifest.os, manifest.cpu], [main.version, ...platform.split("-").map((part) => [part])]);
  }
});

for (const [name, by] of Object.entries({ "linux-x64": [], "linux-arm64": ["qemu-aarch64-static"], "linux-arm": ["qemu-arm-static"] })) {
  test(`the program for ${name} runs a leaf`, { timeout: 120_000 }, async () => {
    const [first, ...rest] = [...by, program(name)];
    assert.match(execFileSync(first, [...rest, "version"], { encoding: "utf8" }), new RegExp(`^kinopio-hub ${main.version.replaceAll(".", "\\.")}.*nats-server`));
    const flags = ["--discovery-namespace", "programs", "--lan-bind-address", "127.0.0.1", "--advertised-hostname", "127.0.0.1", "--cache-dir", cache, "--json-lines", "--parent-pipe"];
    const leaf = spawn(first, [...rest, "leaf", "start", ...flags, "--no-websocket-tls"], { stdio: ["pipe", "pipe", "inherit"], env: { ...process.env, KINOPIO_SKIP_CA_TRUST_INSTALL: "1" } });
    const ended = new Promise((resolve) => leaf.once("close", resolve));
    try {
      for await (const line of createInterface({ input: leaf.stdout })) {
        const { phase, discoveryUrl } = JSON.parse(line);
        if (phase !== "running") continue;
        assert.equal((await (await fetch(discoveryUrl)).json()).discoveryNamespace, "programs");
        break;
      }
    } finally {
      leaf.stdin.end();
      leaf.stdout.resume();
    }
    assert.equal(await ended, 0);
  });
}
