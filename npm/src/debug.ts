import { currentRuntime } from "./load.js";
import type { Alive } from "./runtime.js";

/** What the page's module holds at the moment, for tests and the curious; undefined before it runs. */
export function debugAlive(): Alive | undefined {
  return currentRuntime()?.alive();
}
