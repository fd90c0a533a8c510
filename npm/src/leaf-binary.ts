import { accessSync, constants } from "node:fs";
import { fileURLToPath } from "node:url";
import { KinopioError } from "./errors.js";

/**
 * Finds the kinopio-hub program: the option, the environment, or bin/ beside the package's
 * sources.
 *
 * @throws KinopioError LEAF_FAILED, with what to do
 */
export function findBinary(option: string | undefined): string {
  const given = option ?? process.env["KINOPIO_HUB_BINARY"];
  if (given) {
    if (executable(given)) return given;
    throw new KinopioError("LEAF_FAILED", `start leaf: ${given} cannot be run (from ${option ? "the option binary" : "KINOPIO_HUB_BINARY"})`);
  }
  const name = process.platform === "win32" ? "kinopio-hub.exe" : "kinopio-hub";
  const built = fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));
  if (executable(built)) return built;
  throw new KinopioError(
    "LEAF_FAILED",
    `start leaf: there is no kinopio-hub program for ${process.platform}-${process.arch}: ` +
      "install it with `go install github.com/kinopio-hub/kinopio-hub/cmd/kinopio-hub@latest` and set KINOPIO_HUB_BINARY, or the option binary, to its path",
  );
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
