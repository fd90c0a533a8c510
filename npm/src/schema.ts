// Types only: what a program knows of its scopes and variables.
import type { ReqManyOptions, ReqOptions, Variable, VariableOptions } from "./variable.js";
import type { Scope, ScopeBase } from "./scope.js";
import type { Handler, ServeOptions, Service } from "./service.js";

/** A variable that is a function: what is asked, and what is answered. */
export interface RemoteFunction<Q, R> extends Omit<Variable<Q>, "req" | "reqMany" | "serve"> {
  req(question: Q, options?: ReqOptions): Promise<R>;
  reqMany(question: Q, options?: ReqManyOptions): Promise<R[]>;
  serve(handler: Handler<Q, R>, options?: ServeOptions): Promise<Service<Q>>;
}

/** The variable of a schema's entry: functions are served and asked, all else are values. */
export type TypedVariable<T> = T extends (question: infer Q) => infer R ? RemoteFunction<Q, Awaited<R>> : Variable<T>;

/** Names that are never scopes or variables by property; getScope and getVariable take them. docs/frameworks.md has them, too. */
export type ReservedName =
  | keyof Object | "then" | "catch" | "finally" | "toJSON" | "inspect" | "prototype" | "asymmetricMatch"
  | "nodeType" | "nodeName" | "tagName" | "hasAttribute" | "_bsontype" | `__${string}` | `$$${string}` | `@@${string}` | `_x_${string}` | `_$${string}` | `ɵ${string}`;

/** What of a schema can be had by property, of an object that has properties of its own. */
type Others<S, Own> = Exclude<keyof S, Own | ReservedName>;

/** The scope of a schema's entry. */
export type TypedScope<V> = Omit<ScopeBase, "getVariable"> & { readonly [K in Others<V, keyof ScopeBase>]: TypedVariable<V[K]> } & {
  getVariable<K extends keyof V & string>(name: K, options?: VariableOptions): TypedVariable<V[K]>;
};

/** The scopes of a hub, which has properties of its own: those of its schema, or any. */
export type Scopes<S, Own = never> = unknown extends S
  ? { readonly [scope: string]: Scope }
  : { readonly [K in Others<S, Own>]: TypedScope<S[K]> } & { getScope<K extends keyof S & string>(name: K): TypedScope<S[K]> };
