import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { dist, root, startServer } from "./helpers.mjs";

// calls.json: the calls that people of 2.1.0 have learned from its documentation. Each block is
// run as it stands, with a package in place of kinopio-hub that is it, with other servers.

const blocks = JSON.parse(readFileSync(join(root, "test/calls.json"), "utf8"));
const folder = mkdtempSync(join(tmpdir(), "kinopio-calls-"));
let server;
before(async () => {
  server = await startServer();
  const home = join(folder, "node_modules/kinopio-hub");
  mkdirSync(home, { recursive: true });
  const manifest = { name: "kinopio-hub", type: "module", exports: { ".": "./index.mjs", "./leaf": "./leaf.mjs" } };
  writeFileSync(join(home, "package.json"), JSON.stringify(manifest));
  writeFileSync(join(home, "leaf.mjs"), `export * from ${JSON.stringify(dist("leaf.mjs"))};`);
  writeFileSync(join(home, "index.mjs"), `
    import { KinopioHub as Real } from ${JSON.stringify(dist("index.mjs"))};
    export * from ${JSON.stringify(dist("index.mjs"))};
    export default class KinopioHub extends Real {
      constructor(options = {}) {
        const { servers = [1], discovery, ...rest } = options;
        super({ ...rest, servers: servers.map(() => ${JSON.stringify(server.ws)}), discovery: discovery && { ...discovery, manifestUrl: "http://127.0.0.1:1/" } });
      }
    }`);
});
after(async () => {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
});

/** Runs a module to its end; one about leaves on a network of its own with what looks like a LAN. */
function run(script, leaf) {
  const setup = `ip link set lo up && ip link add lan0 type veth peer name lan1 && ip addr add 192.168.77.2/24 dev lan0 && ip link set lan1 up && ip link set lan0 up && exec "$@"`;
  const [program, ...args] = leaf ? ["unshare", "-n", "sh", "-c", setup, "sh", process.execPath, script] : [process.execPath, script];
  const env = { ...process.env, KINOPIO_SKIP_CA_TRUST_INSTALL: "1", KINOPIO_LEAF_CACHE_DIR: join(folder, "cache") };
  return new Promise((resolve, reject) => {
    execFile(program, args, { cwd: folder, env, timeout: 60_000 }, (error, stdout, stderr) => (error ? reject(new Error(`${error.message}\n${stdout}${stderr}`)) : resolve(stdout)));
  });
}

for (const [i, block] of blocks.entries()) {
  test(`as people call it: ${block.name}`, { timeout: 70_000 }, async () => {
    const isImport = (line) => line.startsWith("import ");
    const imports = block.code.filter(isImport);
    if (block.hubs.length > 0 && imports.length === 0) imports.push(`import KinopioHub from "kinopio-hub";`);
    const script = join(folder, `block${i}.mjs`);
    writeFileSync(script, [
      ...imports, block.before ?? "", ...block.code.filter((line) => !isImport(line)), block.after ?? "",
      `const end = Date.now() + 20_000;`,
      `while (!(${block.check})) { if (Date.now() > end) throw new Error(${JSON.stringify(`never came true: ${block.check}`)}); await new Promise((next) => setTimeout(next, 10)); }`,
      ...block.hubs.map((hub) => `await ${hub}.dispose();`),
      `console.log("it holds");`,
    ].join("\n"));
    assert.match(await run(script, block.node), /it holds\n$/);
  });
}
