import type { Session } from "./session.js";
import type { KinopioError } from "./errors.js";
import { Message } from "./message.js";

/**
 * One subscription on the wire that several share: a variable's value and its callbacks. It
 * exists while `use` is greater than zero or `follow` is set.
 */
export class Feed {
  #session: Session;
  #subject: string;
  #wildcard: boolean;
  #take: (message: Message) => void;
  #denied: (error: KinopioError) => void;
  #deaf = false; // the server does not permit it
  #id = 0;
  #ready: Promise<void> = Promise.resolve();
  #use = 0;
  #follow = false;
  #scheduled = false;

  constructor(session: Session, subject: string, wildcard: boolean, take: (message: Message) => void, denied: (error: KinopioError) => void) {
    this.#session = session;
    this.#subject = subject;
    this.#wildcard = wildcard;
    this.#take = take;
    this.#denied = denied;
  }

  /** Whether there is a subscription on the wire, which brings messages. */
  get active(): boolean {
    return this.#id !== 0 && !this.#deaf;
  }

  /** Whether there is a subscription, or is about to be. */
  get wanted(): boolean {
    return this.#use > 0 || this.#follow;
  }

  /** Whether the subject is followed without any callback; takes effect in a microtask. */
  set follow(on: boolean) {
    if (this.#follow === on) return;
    this.#follow = on;
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#adjust();
    });
  }

  /** Does at once what {@link follow} asks for. */
  settle(): void {
    this.#adjust();
  }

  /** Adds a user; resolves when the server has the subscription. */
  join(): Promise<void> {
    this.#use++;
    this.#adjust();
    return this.#ready;
  }

  leave(): void {
    this.#use--;
    this.#adjust();
  }

  /** Is {@link leave} that loses nothing: resolves when `take` has got all that the server had sent. */
  drain(): Promise<void> {
    this.#use--;
    if (this.#use > 0 || this.#follow || this.#id === 0) return this.#session.command("flush");
    const id = this.#id;
    this.#id = 0;
    return this.#session.drain(id);
  }

  #adjust(): void {
    if (this.wanted && this.#id === 0) {
      const subject = this.#wildcard ? "" : this.#subject;
      const { id, ready } = this.#session.subscribe(
        this.#subject,
        (rows, row) => {
          this.#deaf = false;
          this.#take(new Message(this.#session, rows, row, subject));
        },
        { wildcard: this.#wildcard },
      );
      this.#id = id;
      this.#ready = ready;
      this.#deaf = false;
      ready.catch((error: KinopioError) => {
        if (error.code !== "PERMISSION_DENIED" || id !== this.#id) return;
        this.#deaf = true;
        if (this.#use === 0) this.#denied(error);
      });
    } else if (!this.wanted && this.#id !== 0) {
      this.#session.unsubscribe(this.#id);
      this.#id = 0;
    }
  }
}
