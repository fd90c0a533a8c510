// The <script> build: window.KinopioHub (self.KinopioHub in a Worker).
import { debugAlive } from "./debug.js";
import { KinopioError } from "./errors.js";
import { KINOPIO_STATE_EVENT, KinopioHub } from "./hub.js";

const all = Object.assign(KinopioHub, { KinopioHub, KinopioError, KINOPIO_STATE_EVENT, debugAlive });

declare global {
  /** The class, with the package's other exports as its properties. */
  var KinopioHub: typeof all;
}

globalThis.KinopioHub = all;
