import type { KinopioError } from "./errors.js";
import { isOwn, Keeping } from "./keep/keeping.js";
import type { Service } from "./service.js";
import type { Session } from "./session.js";
import type { Subscription } from "./subscription.js";
import { Variable } from "./variable.js";
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
  #variables = new Map<string, Variable>();
  #keeping: Keeping | undefined;

  constructor(session: Session, timeout: number, noEcho: boolean, disposed: Promise<never>, report: (error: KinopioError) => void) {
    this.session = session;
    this.timeout = timeout;
    this.noEcho = noEcho;
    this.report = report;
    this.disposed = disposed;
    disposed.catch(() => {});
  }

  /** The one variable of a subject. */
  variable(subject: string): Variable {
    let variable = this.#variables.get(subject);
    if (!variable) {
      checkName(subject, true);
      variable = new Variable(this, subject);
      this.#variables.set(subject, variable);
    }
    return variable;
  }

  /** What the hub knows of set values, from the first variable on whose value somebody wants. */
  get keeping(): Keeping {
    return (this.#keeping ??= new Keeping(this.session));
  }

  /** There is a connection after there was none, or to another system; or there is none. */
  linked(on: boolean): void {
    this.#keeping?.link(on);
  }

  /** The server does not permit what was published on a subject, or, of the hub's own ones, to subscribe there. */
  denied(subject: string): void {
    if (isOwn(subject)) this.#keeping?.warn(subject);
    else this.#variables.get(subject)?.denied();
  }

  /** Ends every handle. */
  end(error: KinopioError): void {
    this.#keeping?.end(error);
    for (const subscription of [...this.handles]) subscription.unsubscribe();
    for (const service of [...this.services]) service.abandon();
  }
}
