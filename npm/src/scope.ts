import type { HubCore } from "./core.js";
import { checkName } from "./names.js";
import type { Presence } from "./presence/presence.js";
import { shownAs } from "./detach.js";
import { withChildren } from "./properties.js";
import type { Variable, VariableOptions } from "./variable.js";
import type { Weakly } from "./weakly.js";

/** What scopes have by themselves; every other property is a variable. */
export class ScopeBase {
  readonly #core: HubCore;
  readonly #children: Weakly<Scope>;
  readonly #variables: Weakly<Variable>;

  /** The scope's name; those of nested scopes have dots. */
  declare readonly name: string;

  /** @internal */
  constructor(core: HubCore, name: string) {
    this.#core = core;
    this.#children = core.names();
    this.#variables = core.names();
    Object.defineProperty(this, "name", { value: name, enumerable: true }); // readonly at run time, too
  }

  /**
   * The scope `<this>.<name>`.
   * @throws KinopioError INVALID_NAME
   */
  getScope(name: string): Scope {
    return this.#children.get(name, () => makeScope(this.#core, join(this.name, name)));
  }

  /**
   * The variable `<this>.<name>`, always the same object, whose options the last call that
   * names them sets. Wildcards are for subscribing.
   * @throws KinopioError INVALID_NAME
   */
  getVariable<T = any>(name: string, options: VariableOptions = {}): Variable<T> {
    const variable = this.#property(name);
    variable.mention();
    if (options.distinct !== undefined) variable.distinct = options.distinct;
    return variable;
  }

  /** Who is in this scope. To look at the property begins nothing. */
  get presence(): Presence {
    return this.#core.presences.get(this.name);
  }

  /** @internal the variable, that nobody has asked for: whoever looks at a property wants nothing yet */
  static property(scope: ScopeBase, name: string): Variable {
    return scope.#property(name);
  }

  #property(name: string): Variable {
    return this.#variables.get(name, () => this.#core.variable(join(this.name, name)));
  }
}

/** A group of variables: `scope.battery` is `scope.getVariable("battery")`. */
export type Scope = ScopeBase & { readonly [variable: string]: Variable<any> };

/** @internal */
export function makeScope(core: HubCore, name: string): Scope {
  checkName(name, true);
  const scope = new ScopeBase(core, name);
  shownAs(scope, "Scope", () => ({ name }));
  return withChildren(scope, (variable) => ScopeBase.property(scope, variable), name, { isThis: "object", by: "getVariable" }) as Scope;
}

function join(scope: string, name: string): string {
  checkName(name, true);
  return `${scope}.${name}`;
}
