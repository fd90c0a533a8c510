import { KinopioError } from "./errors.js";
import { telling, type Views } from "./views.js";

// Names that languages, consoles, frameworks and test frameworks ask every object for, because an answer
// says what kind of object it is. They are never scopes or variables by property; getScope and getVariable
// take them.
const reserved = /* @__PURE__ */ new Set([
  "then", "catch", "finally", "toJSON", "constructor", "inspect", "prototype", "asymmetricMatch",
  "nodeType", "nodeName", "tagName", "hasAttribute", "_bsontype",
]);
const marks = /^(__|\$\$|@@|_is[A-Z]|_x_|_\$|ɵ)/; // such as __v_raw, $$typeof, @@iterator, _isVue, _x_interceptor, _$litType$, ɵcmp

/** Whether a property is what others look for, or mark objects with. */
const isProbe = (name: PropertyKey): boolean => typeof name === "symbol" || reserved.has(name as string) || marks.test(name as string);

/**
 * Makes unknown properties of an object what `child` returns for their names. Its methods may be taken off
 * it, and know it as «this»; `isThis` says what they see: the whole, for which there are subclasses, or only
 * the object itself. `by` is the method that takes the names that properties cannot have.
 */
export function withChildren<T extends object>(
  target: T,
  child: (name: string) => unknown,
  what: string,
  { isThis, by, views, wrap }: { isThis: "whole" | "object"; by: "getScope" | "getVariable"; views?: Views; wrap?: (name: string, method: Function) => Function },
): T {
  const methods = new WeakMap<object, unknown>();
  const whole: T = new Proxy(target, {
    get(object, name, receiver) {
      if (!(name in object)) return isProbe(name) ? undefined : child(name as string);
      const self = isThis === "whole" ? whole : object;
      if (receiver !== whole && typeof name === "string") views?.saw(receiver, name);
      const value = Reflect.get(object, name, self);
      if (typeof value !== "function" || name === "constructor" || Object.hasOwn(object, name)) return value;
      let method = methods.get(value);
      if (!method) methods.set(value, (method = wrap ? wrap(String(name), value.bind(self)) : value.bind(self)));
      return method;
    },
    deleteProperty: (object, name) => Object.hasOwn(object, name) && Reflect.deleteProperty(object, name),
    set(object, name, value) {
      if (telling()) return true;
      const own = Object.getOwnPropertyDescriptor(object, name);
      if (isProbe(name) || own?.writable || own?.set) return Reflect.set(object, name, value);
      const full = `${what}.${String(name)}`;
      const why = name in object ? `it is a property of its own, and what would have that name is ${what}.${by}(${JSON.stringify(name)})` : "values are published with pub()";
      throw new KinopioError("INVALID_NAME", `cannot assign to ${full}: ${why}`);
    },
  });
  return whole;
}
