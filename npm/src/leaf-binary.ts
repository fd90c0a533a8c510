import { accessSync, constants } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import { KinopioError } from "./errors.js";

/** Set by build.mjs: the version of this package, which its program must have, too. */
declare const PACKAGE_VERSION: string;
/** Set by build.mjs from platforms.json: what there are packages for, as `<process.platform>-<process.arch>`. */
declare const PLATFORMS: string[];

/**
 * Finds the kinopio-hub program: the option, the environment, the package of this platform, or
 * bin/ beside the package's sources.
 *
 * @param verb what for, as errors begin
 * @throws KinopioError LEAF_FAILED, with what to do
 */
export function findBinary(verb: string, option?: string): string {
  const given = option ?? process.env["KINOPIO_HUB_BINARY"];
  if (given) {
    if (executable(given)) return given;
    throw new KinopioError("LEAF_FAILED", `${verb}: ${given} cannot be run (from ${option ? "the option binary" : "KINOPIO_HUB_BINARY"})`);
  }
  const platform = `${process.platform}-${process.arch}`;
  const name = process.platform === "win32" ? "kinopio-hub.exe" : "kinopio-hub";
  const found = installed(`@kinopio-hub/${platform}/bin/${name}`);
  if (found && executable(found)) return found;
  const built = fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));
  if (!import.meta.url.includes("/node_modules/") && executable(built)) return built;
  throw new KinopioError("LEAF_FAILED", `${verb}: ${whatToDo(platform, found)}`);
}

function whatToDo(platform: string, found: string | undefined): string {
  if (found) return `${found} cannot be executed: install the package @kinopio-hub/${platform} again, where programs may run`;
  if (PLATFORMS.includes(platform)) {
    return (
      `the package @kinopio-hub/${platform}, which brings the kinopio-hub program, is not installed ` +
      "(optional dependencies were left out, or node_modules comes from another platform): " +
      `run \`npm install @kinopio-hub/${platform}@${PACKAGE_VERSION}\`, or install again without --omit=optional`
    );
  }
  return (
    `there is no kinopio-hub program for ${platform} on npm (there are ${PLATFORMS.join(", ")}): ` +
    "run `go install github.com/kinopio-hub/kinopio-hub/v3/cmd/kinopio-hub@latest` and set KINOPIO_HUB_BINARY, or the option binary, to its path"
  );
}

function installed(file: string): string | undefined {
  try {
    return createRequire(import.meta.url).resolve(file);
  } catch {
    return undefined; // not installed
  }
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
