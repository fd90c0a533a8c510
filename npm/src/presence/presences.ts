import type { HubCore } from "../core.js";
import { randomDigits } from "../ids.js";
import type { Weakly } from "../weakly.js";
import { Presence } from "./presence.js";
import { scopeOf } from "./subjects.js";
import { idDigits } from "./wire.js";

const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** What a page tells of its life. */
interface PageEvents {
  readonly document?: unknown;
  addEventListener?(name: string, listener: () => void): void;
  removeEventListener?(name: string, listener: () => void): void;
}

/** The presences of a hub, by the names of their scopes. */
export class Presences {
  /** Of the hub, as a member. */
  readonly id = randomDigits(idDigits, digits);
  /** Those that are members, or know who is here. */
  readonly active = new Set<Presence>();
  #core: HubCore;
  #all: Weakly<Presence>;
  #hide = () => this.#depart((presence) => presence.hide());
  #show = () => this.#each((presence) => presence.show());

  constructor(core: HubCore) {
    this.#core = core;
    this.#all = core.names();
    this.#page("addEventListener");
  }

  /** The one presence of a scope. */
  get(scope: string): Presence {
    return this.#all.get(scope, () => new Presence(this.#core, this, scope));
  }

  /** There is a connection after there was none, or to another system; or there is none. */
  link(on: boolean): void {
    this.#each((presence) => presence.link(on));
  }

  /** Takes what the server does not permit. @returns whether it is about presence */
  denied(subject: string): boolean {
    const scope = scopeOf(subject);
    if (scope !== undefined) this.#all.peek(scope)?.refused(subject);
    return scope !== undefined;
  }

  /** Leaves every scope, as the hub is about to end. */
  farewell(): void {
    this.#depart((presence) => presence.farewell());
  }

  /** What is said now may be the last. */
  #depart(say: (presence: Presence) => void): void {
    const { size } = this.active;
    this.#each(say);
    if (size > 0) this.#core.session.hurry();
  }

  /** The hub has ended. */
  end(): void {
    this.#page("removeEventListener");
    this.#each((presence) => presence.end());
    this.active.clear();
  }

  #each(what: (presence: Presence) => void): void {
    for (const presence of [...this.active]) what(presence);
  }

  /** Hears, or does not any more, that the page goes, and that it has come back. Where that is refused, the hub does without. */
  #page(what: "addEventListener" | "removeEventListener"): void {
    const page = globalThis as PageEvents;
    if (typeof page.document !== "object") return;
    try {
      page[what]?.("pagehide", this.#hide);
      page[what]?.("pageshow", this.#show);
    } catch {
      // others notice within 15 s that it has gone
    }
  }
}
