// The licence texts of everything that a Go program is made of, from Go itself and the module cache.
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const licenceFile = /^(licen[cs]e|copying|notice|patents)([.-].*)?$/i;

/**
 * Returns one text with the licences of all modules that a package links.
 *
 * @param {string} root the repository
 * @param {string} pkg a Go package below it
 * @param {Record<string, string>} env GOOS and GOARCH, as modules differ by platform
 * @throws when a module has none
 */
export function licences(root, pkg, env) {
  const go = (...args) => execFileSync("go", args, { cwd: root, encoding: "utf8", env: { ...process.env, ...env }, maxBuffer: 1 << 26 }).trim();
  const modules = new Map(); // name → the folders of packages that are linked
  const format = "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}";
  for (const line of go("list", "-deps", "-f", format, pkg).split("\n")) {
    const [name, version, dir, folder] = line.split("\t");
    if (!folder) continue;
    const module = modules.get(name) ?? { version, dir, folders: new Set() };
    // A licence may lie in the module's folder, in that of the package, and between the two.
    for (let at = folder; at.startsWith(dir); at = dirname(at)) module.folders.add(at);
    modules.set(name, module);
  }
  const goroot = go("env", "GOROOT");
  const parts = [part("Go, its standard library and wasm_exec.js", go("env", "GOVERSION"), readFileSync(join(goroot, "LICENSE"), "utf8"))];
  for (const [name, { version, dir, folders }] of [...modules].sort(([a], [b]) => (a < b ? -1 : 1))) {
    const files = [...folders].flatMap((folder) =>
      readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isFile() && licenceFile.test(entry.name))
        .map((entry) => join(folder, entry.name)));
    if (files.length === 0) throw new Error(`${name}@${version} has no licence file in ${dir}`);
    for (const file of files.sort()) parts.push(part(`${name}, ${relative(dir, file)}`, version, readFileSync(file, "utf8")));
  }
  return `This package contains the following works of others.\n\n${parts.join("\n")}`;
}

function part(name, version, text) {
  const line = "=".repeat(78);
  return `${line}\n${name} (${version})\n${line}\n\n${text.trim()}\n`;
}
