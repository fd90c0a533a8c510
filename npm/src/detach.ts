import type { KinopioError } from "./errors.js";
import { tend } from "./tended.js";

/** Under it objects have a function that returns them, also when it is read through a proxy of others. */
const itself = /* @__PURE__ */ Symbol("kinopio-hub.itself");

const reportTo = /* @__PURE__ */ Symbol("kinopio-hub.report");

/** The object, from itself or from a proxy of it. */
export const raw = <T extends object>(object: T): T => (object as { [itself]?(): T })[itself]?.() ?? object;

const prepared = /* @__PURE__ */ new WeakSet<object>();

/**
 * Called by the constructor, makes the methods of an object work when they are taken off it
 * (`const { pub } = variable`), and when they are called on a proxy of it: private fields are on neither.
 * Consoles show it under a name, as what `shown` returns. The promises of the methods in `forgettable` may be forgotten.
 */
export function detachable<T extends object>(
  object: object,
  prototype: T,
  report: (error: KinopioError) => void,
  forgettable: readonly string[],
  shown?: readonly [name: string, as: (object: T) => object],
): void {
  Object.defineProperty(object, itself, { value: () => object });
  Object.defineProperty(object, reportTo, { value: report });
  if (prepared.has(prototype)) return;
  prepared.add(prototype);
  if (shown) shownAs(prototype, ...shown);
  for (const [name, { value: method, configurable }] of Object.entries(Object.getOwnPropertyDescriptors(prototype))) {
    if (typeof method !== "function" || name === "constructor" || name === "toJSON" || !configurable) continue;
    const keep = (on: object, value: unknown) => Object.defineProperty(on, name, { value, writable: true, configurable: true });
    Object.defineProperty(prototype, name, {
      configurable: true,
      get(this: object) {
        const self = raw(this);
        if (!Object.hasOwn(self, itself)) return method; // of the prototype
        const bound = forgettable.includes(name)
          ? (...given: unknown[]) => tend(method.apply(self, given), (self as { [reportTo]?: any })[reportTo])
          : method.bind(self);
        keep(self, bound);
        return bound;
      },
      set(this: object, value: unknown) {
        keep(raw(this), value);
      },
    });
  }
}

// What Node's console calls to show an object.
const inspection = /* @__PURE__ */ Symbol.for("nodejs.util.inspect.custom");

/** Makes consoles show objects of a prototype, or one object, as what `shown` returns, under a name. */
export function shownAs<T extends object>(on: T, name: string, shown: (object: T) => object): void {
  const value = function (this: T, _: number, options: object, inspect?: (shown: object, options: object) => string): unknown {
    return inspect ? `${name} ${inspect(shown(raw(this)), options)}` : shown(raw(this));
  };
  Object.defineProperty(on, inspection, { value, configurable: true });
}
