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

/** The scope of a schema's entry. */
export type TypedScope<V> = Omit<ScopeBase, "getVariable"> & { readonly [K in keyof V]: TypedVariable<V[K]> } & {
  getVariable<K extends keyof V & string>(name: K, options?: VariableOptions): TypedVariable<V[K]>;
};

/** The scopes of a hub: those of its schema, or any. */
export type Scopes<S> = unknown extends S
  ? { readonly [scope: string]: Scope }
  : { readonly [K in keyof S]: TypedScope<S[K]> } & { getScope<K extends keyof S & string>(name: K): TypedScope<S[K]> };
