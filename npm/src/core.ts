import type { KinopioError } from "./errors.js";
import { isOwn, Keeping } from "./keep/keeping.js";
import { Presences } from "./presence/presences.js";
import type { Service } from "./service.js";
import type { Session } from "./session.js";
import type { Subscription } from "./subscription.js";
import { Leases } from "./leases.js";
import { Variable } from "./variable.js";
import { Weakly } from "./weakly.js";
import { checkName } from "./names.js";

/** What the variables of one hub share. */
export class HubCore {
  readonly session: Session;
  /** Default of operations, in milliseconds. */
  readonly timeout: number;
  /** Own messages do not come back. */
  readonly noEcho: boolean;
  /** Tells the hub's observers of an error that has no other way to go. */
  readonly report: (error: KinopioError) => void;
  /** Rejects when the hub ends; never unhandled. */
  readonly disposed: Promise<never>;
  readonly handles = new Set<Subscription<any>>();
  readonly services = new Set<Service<any>>();
  /** For how long a variable is followed after its last callback, and after it was read, in milliseconds. */
  readonly linger: number;
  readonly readLinger: number;
  /** What is held because it was used lately. */
  readonly leases: Leases;
  #variables: Weakly<Variable>;
  #keeping: Keeping | undefined;
  #presences: Presences | undefined;

  constructor(session: Session, timeout: number, noEcho: boolean, linger: number, readLinger: number, disposed: Promise<never>, report: (error: KinopioError) => void) {
    this.linger = linger;
    this.readLinger = readLinger;
    this.leases = new Leases(Math.min(linger, readLinger));
    this.#variables = this.names();
    this.session = session;
    this.timeout = timeout;
    this.noEcho = noEcho;
    this.report = report;
    this.disposed = disposed;
    disposed.catch(() => {});
  }

  /** The one variable of a subject. */
  variable(subject: string): Variable {
    return this.#variables.get(subject, () => {
      checkName(subject, true);
      return new Variable(this, subject);
    });
  }

  /** Holds objects by their names, as variables and scopes are held. */
  names<T extends object>(): Weakly<T> {
    return new Weakly<T>(this.leases, this.readLinger);
  }

  /** What the hub knows of set values, from the first variable on whose value somebody wants. */
  get keeping(): Keeping {
    return (this.#keeping ??= new Keeping(this.session));
  }

  /** Who is in the scopes of the hub, from the first time on that somebody wants to know it. */
  get presences(): Presences {
    return (this.#presences ??= new Presences(this));
  }

  /** Says to others that the hub is about to end. */
  farewell(): void {
    this.#presences?.farewell();
  }

  /** There is a connection after there was none, or to another system; or there is none. */
  linked(on: boolean): void {
    this.#keeping?.link(on);
    this.#presences?.link(on);
  }

  /** The server does not permit what was published on a subject, or, of the hub's own ones, to subscribe there. */
  denied(subject: string): void {
    if (this.#presences?.denied(subject)) return;
    if (isOwn(subject)) this.#keeping?.warn(subject);
    else this.#variables.peek(subject)?.denied();
  }

  /** Ends every handle. */
  end(error: KinopioError): void {
    this.#keeping?.end(error);
    this.#presences?.end();
    this.leases.end();
    for (const subscription of [...this.handles]) subscription.unsubscribe();
    for (const service of [...this.services]) service.abandon();
  }
}
