import { KinopioError } from "./errors.js";

// Names that languages, consoles and test frameworks ask every object for. They are never
// scopes or variables by property; getScope and getVariable take them.
const reserved = new Set([
  "then", "catch", "finally", "toJSON", "constructor", "inspect", "prototype", "__proto__",
  "asymmetricMatch", "nodeType", "tagName", "$$typeof", "@@__IMMUTABLE_ITERABLE__@@", "@@__IMMUTABLE_RECORD__@@",
]);

/** Makes unknown properties of an object what `child` returns for their names. */
export function withChildren<T extends object>(target: T, child: (name: string) => unknown, what: string): T {
  return new Proxy(target, {
    get(object, name, receiver) {
      if (typeof name === "symbol" || name in object) return Reflect.get(object, name, receiver);
      return reserved.has(name) ? undefined : child(name);
    },
    set(_, name) {
      throw new KinopioError("INVALID_NAME", `cannot assign to ${what}.${String(name)}: values are published with pub()`);
    },
    defineProperty: () => false,
    deleteProperty: () => false,
  });
}
