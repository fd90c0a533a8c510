import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const dist = (name) => new URL(`../dist/${name}`, import.meta.url);

/** One of the source files as a module of its own, for what the package does not export. */
export async function source(name) {
  const { outputFiles } = await build({ entryPoints: [join(root, "src", name)], bundle: true, write: false, format: "esm", platform: "node" });
  return import(`data:text/javascript;base64,${Buffer.from(outputFiles[0].contents).toString("base64")}`);
}

let program;

/** A nats-server of its own: {ws, tcp, tell(command), stop()}. */
export async function startServer(...flags) {
  if (!program) {
    const folder = mkdtempSync(join(tmpdir(), "kinopio-test-"));
    process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
    program = join(folder, process.platform === "win32" ? "server.exe" : "server");
    execFileSync("go", ["build", "-o", program, "./test/server"], { cwd: root, stdio: "inherit" });
  }
  const child = spawn(program, flags, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error("the server has ended");
    return value;
  };
  const urls = JSON.parse(await next());
  return {
    ...urls,
    async tell(command) {
      child.stdin.write(`${command}\n`);
      return next();
    },
    async stop() {
      const ended = new Promise((resolve) => child.once("close", resolve));
      child.stdin.end();
      await ended;
    },
  };
}

/** Resolves when `condition` holds; a test's own timeout bounds it. */
export async function until(condition, what = String(condition)) {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`never came true: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

/** An async queue of what happens: push, and await take(n). */
export function collector() {
  const items = [];
  return {
    items,
    push: (...args) => void items.push(args.length > 1 ? args : args[0]),
    async take(n) {
      await until(() => items.length >= n, `${n} items, have ${items.length}`);
      return items.splice(0, n);
    },
  };
}

/** Fails unless `promise` rejects with `code`; returns the error. */
export async function rejects(promise, code) {
  try {
    await promise;
  } catch (error) {
    if (error.code !== code) throw error;
    return error;
  }
  throw new Error(`resolved: want ${code}`);
}
