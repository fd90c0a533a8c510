/**
 * Remote variables and functions, used as if they were local, over NATS; in browsers and Node.
 * Importing this starts nothing.
 */
export { KinopioHub, KinopioHub as default, KINOPIO_STATE_EVENT } from "./hub.js";
export type { HubEvents } from "./hub.js";
export { KinopioError } from "./errors.js";
export type { KinopioErrorCode } from "./errors.js";
export type { KinopioOptions, DiscoveryOptions, RepairOptions } from "./options.js";
export type { DiscoveryStatus, Health, HubState, HubStatus, Missing, Move } from "./session.js";
export type { Scope } from "./scope.js";
export type { RemoteFunction, TypedScope, TypedVariable } from "./schema.js";
export type { Variable, VariableOptions, PubOptions, ReqOptions, ReqManyOptions } from "./variable.js";
export type { SetOptions, VariableMeta } from "./keep/kept.js";
export type { Member, Presence, PresenceChange } from "./presence/presence.js";
export type { Subscription, SubCallback, SubOptions } from "./subscription.js";
export type { Service, Handler, ServeOptions } from "./service.js";
export type { Message } from "./message.js";
export type { Authenticator, Credentials } from "./auth.js";
export type { Codec } from "./codec.js";
export type { HeadersInput, MessageHeaders } from "./headers.js";
export type { WebSocketClass, WebSocketLike } from "./sockets.js";
export type { Alive } from "./runtime.js";
export { debugAlive } from "./debug.js";
