import { decodePayload, encode, type Payload } from "./codec.js";
import { within } from "./deferred.js";
import { KinopioError, messageOf } from "./errors.js";
import { detachable, raw } from "./detach.js";
import { Feed } from "./feed.js";
import { packHeaders, type HeadersInput } from "./headers.js";
import type { HubCore } from "./core.js";
import { Message } from "./message.js";
import { checkName, checkQueue, isWildcard } from "./names.js";
import { KeptValue, type SetOptions, type VariableMeta } from "./keep/kept.js";
import { before, unset } from "./keep/version.js";
import type { Sender } from "./session.js";
import { Service, type Handler, type ServeOptions } from "./service.js";
import { tend } from "./tended.js";
import { equal, ValueRule } from "./value.js";
import { telling, Views } from "./views.js";
import { Subscription, type SubCallback, type SubOptions } from "./subscription.js";

/** Options of a variable. */
export interface VariableOptions {
  /** Does not publish values that equal the present one. Default false: every pub is sent. */
  distinct?: boolean;
}

/** Options of a message to send. */
export interface PubOptions {
  headers?: HeadersInput;
  /** A subject where an answer is wanted. */
  reply?: string;
  /** Does not publish a value that equals the present one. Default: as the variable's. */
  distinct?: boolean;
}

/** Options of a request. */
export interface ReqOptions {
  headers?: HeadersInput;
  /** Milliseconds to wait for the answer. Default: the hub's option `timeout`. */
  timeout?: number;
  /** Gives the request up. */
  signal?: AbortSignal;
}

/** When enough answers to a request have come. */
export interface ReqManyOptions {
  headers?: HeadersInput;
  /** So many answers are enough. Default: all that come within `window`. */
  max?: number;
  /** Milliseconds for answers. Default: the hub's option `timeout`. */
  window?: number;
}

/**
 * A value that several programs share, a stream of messages, or a function: whatever is
 * published, watched, requested and served under one subject.
 *
 * A variable follows its subject from the time it is asked for (by `getVariable`, or by its value, ready,
 * watch or sub) until it is the target of pub, req or serve without its value ever having been asked
 * for: a mere publisher costs no subscription, and neither does a look at a property. When nobody uses it any
 * more, that ends: see {@link release}.
 */
export class Variable<T = any> {
  #core: HubCore;
  #feed: Feed;
  #wildcard: boolean;
  #mentioned = false; // somebody has asked for the variable, and for nothing of it yet
  #asked = false; // value or ready were used
  #target = false; // pub, req or serve were used
  #lingers = false; // it is not used any more, since a moment ago
  #looked = false; // as #asked and #target, since the lease has begun
  #wrote = false;
  #holds = false; // the value was set here, for others who ask
  #released = false; // release was called since the last use began
  #stale = false; // the value was not followed for a while, or is not
  #views: Views | undefined;
  #seen = false; // since the value has changed, it was read through a proxy of others
  #rule = new ValueRule();
  #payload: Payload | undefined; // what the rule says
  #value: any = null; // what it decodes to, once #decoded
  #decoded = true;
  #losses = 0; // of connections, that the rule knows of
  #fencing = false; // it is being found out whether echoes still come
  #mine = new WeakSet<Uint8Array>(); // copies that nobody else has
  #kept: KeptValue | undefined; // from the first time on that somebody wants the value, or that it is set
  #before: Payload | undefined; // the value when nothing was pending last
  #spare: Uint8Array | undefined; // a former value, to be written over
  #denied: KinopioError | undefined; // why nothing is heard
  #told = false; // of that
  #sender: Sender = {
    sent: (batch, data) => this.#sent(batch, data),
    settled: (batch, ok) => this.#settled(batch, ok),
  };
  #watchers = new Set<(value: any) => void>();
  #viewer: ((value: any) => void) | undefined; // tells proxies of others
  #subscriptions = new Set<Subscription<any>>();
  #listed: readonly Subscription<any>[] | undefined; // the same, replaced and not changed: it may be gone through

  /** @internal see VariableOptions */
  distinct = false;

  /** `<scope>.<variable>`. */
  declare readonly subject: string;

  /** @internal */
  constructor(core: HubCore, subject: string) {
    Object.defineProperty(this, "subject", { value: subject, enumerable: true }); // readonly at run time, too
    this.#core = core;
    this.#wildcard = isWildcard(subject);
    this.#feed = new Feed(core.session, subject, this.#wildcard, (message) => this.#arrived(message), (error) => this.#deafened(error));
    detachable(this, Variable.prototype, core.report, ["sub", "req", "reqMany", "serve", "ready"], ["Variable", (variable) => ({ subject: variable.subject, value: variable.toJSON() })]);
  }

  /** @internal somebody wants the variable, whatever for */
  mention(): void {
    if (this.#wildcard || this.#target || this.#needed) return;
    this.#mentioned = true;
    this.#released = false;
    this.#hold();
    this.#follow();
  }

  /**
   * The last value seen, remote or own; null before the first. The object is shared by all
   * who read it. Vue and Alpine follow it: what reads it through their proxies is done again when it changes.
   */
  get value(): T | null {
    const self = raw(this);
    if (self !== this) self.#see(this);
    self.#ask();
    return self.#current();
  }

  /** @internal */
  set value(_: T | null) {
    if (!telling()) throw new KinopioError("INVALID_NAME", `cannot assign to ${this.subject}.value: values are set with set(), or published with pub()`);
  }

  /** What the value is. Like `value` it makes the hub follow the variable. */
  get meta(): VariableMeta {
    const self = raw(this);
    self.#ask();
    return self.#keep.meta;
  }

  /**
   * Makes value the value of the variable: everybody who follows it has it, and so has who comes later, as long as a hub
   * that follows it lives. Who sets last wins, at all hubs the same one. Others hear it as a message. The value is this
   * hub's at once, also without a connection: then the latest waits until there is one, however long that takes,
   * and whatever becomes of the promise. Resolves when a connection has it.
   *
   * @throws KinopioError TIMEOUT when no connection had it in time, INVALID_VALUE, INVALID_NAME, MESSAGE_TOO_LARGE, DISCONNECTED
   *   when `pendingLimitBytes` is exceeded, DISPOSED
   */
  set(value: T, options?: SetOptions): Promise<void> {
    return this.#setTo(() => encode(value, this.#core.session.coding), options);
  }

  /** Takes the value away, for everybody, as {@link set} sets one. Others hear an empty message. */
  delete(options?: SetOptions): Promise<void> {
    return this.#setTo(() => undefined, options);
  }

  #setTo(data: () => Payload | undefined, options?: SetOptions): Promise<void> {
    try {
      checkName(this.subject, false);
      const payload = data();
      if (payload === undefined) this.#ask(); // others are told of it for a while
      const held = this.#holds;
      this.#holds = payload !== undefined;
      this.#mentioned = this.#lingers = this.#released = false;
      this.#follow();
      try {
        return this.#keep.set(payload, options);
      } catch (error) {
        this.#holds = held;
        this.#used();
        throw error;
      }
    } catch (error) {
      return tend(Promise.reject(error), this.#core.report);
    }
  }

  /**
   * Publishes a value. Resolves when it was handed to the connection; see `hub.flush()` for
   * when the server has it. Values published in one go travel together: all or none.
   *
   * @throws KinopioError INVALID_VALUE, INVALID_NAME, MESSAGE_TOO_LARGE, DISCONNECTED, DISPOSED
   */
  pub(value?: T, options?: PubOptions): Promise<void> {
    try {
      this.#unfollow();
      const data = encode(value, this.#core.session.coding);
      if (options?.reply !== undefined) checkName(options.reply, false);
      if ((options?.distinct ?? this.distinct) && equal(data, this.#payload) && !this.#core.session.dead) return Promise.resolve();
      return this.#core.session.publish(this.subject, data, packHeaders(options?.headers), options?.reply, this.#sender);
    } catch (error) {
      return tend(Promise.reject(error), this.#core.report);
    }
  }

  /**
   * Calls back with each message; without a callback, the subscription is iterated:
   * `for await (const message of await variable.sub())`. Resolves when the server has it.
   *
   * @throws KinopioError INVALID_CONFIG, INVALID_NAME, PERMISSION_DENIED, DISPOSED
   */
  sub(callback: SubCallback<T>, options?: SubOptions): Promise<Subscription<T>>;
  sub(options?: SubOptions): Promise<Subscription<T>>;
  async sub(first?: SubCallback<T> | SubOptions, second?: SubOptions): Promise<Subscription<T>> {
    const iterated = first === undefined || (typeof first === "object" && first !== null);
    const callback = iterated ? undefined : (first as SubCallback<T>);
    const { queue, max, conflate = false, order = "publisher" } = (iterated ? ((first as SubOptions) ?? second) : second) ?? {};
    if (!iterated && typeof callback !== "function") throw new KinopioError("INVALID_CONFIG", `sub ${this.subject}: want a callback, not ${typeof callback}`);
    if (max !== undefined && !(Number.isInteger(max) && max > 0)) {
      throw new KinopioError("INVALID_CONFIG", `sub ${this.subject}: max = ${max}: want a whole number from 1`);
    }
    if (order !== "publisher" && order !== "arrival") {
      throw new KinopioError("INVALID_CONFIG", `sub ${this.subject}: order = ${JSON.stringify(order)}: want "publisher" or "arrival"`);
    }
    if (queue !== undefined) checkQueue(queue);
    if (conflate && (queue !== undefined || this.#wildcard)) {
      throw new KinopioError("INVALID_CONFIG", `sub ${this.subject}: conflate wants one subject, without wildcards, and no queue group`);
    }
    const session = this.#core.session;
    if (session.dead) throw session.dead;
    this.mention();
    let ready: Promise<void>;
    let leave: () => void;
    let drain: () => Promise<void>;
    const left = () => {
      if (this.#subscriptions.delete(subscription)) this.#listed = undefined;
      this.#used(); // before it leaves, so that it lingers
      this.#core.handles.delete(subscription);
      leave();
    };
    const drained = () => {
      leave = () => {};
      return drain();
    };
    const subscription = new Subscription<T>(this.subject, callback, max, this.#core.report, left, drained, conflate);
    if (queue === undefined && order === "publisher") {
      this.#subscriptions.add(subscription);
      this.#listed = undefined;
      this.#released = false;
      this.#used();
      ready = this.#feed.join();
      leave = () => this.#feed.leave();
      drain = () => {
        this.#lingers = true; // until it has left
        this.#follow();
        return this.#feed.drain();
      };
    } else {
      // A member of a group is one on the wire, and so is what does not wait for order.
      let latest = unset;
      const wire = session.subscribe(
        this.subject,
        (rows, row) => {
          const message = new Message<T>(session, rows, row, this.#wildcard ? "" : this.subject);
          const { stamp } = message;
          if (!this.#feed.active) this.#takes(message, message);
          if (stamp && queue === undefined && !this.#wildcard) {
            // Sent again for others, who have missed it.
            if (stamp.again && (!before(latest, stamp) || this.#kept?.isNews(stamp) === false)) return;
            if (before(latest, stamp)) latest = stamp;
          }
          subscription.deliver(message);
        },
        { queue, max, wildcard: this.#wildcard, arrival: order === "arrival" },
      );
      ready = wire.ready;
      leave = () => session.unsubscribe(wire.id);
      drain = () => session.drain(wire.id);
    }
    this.#core.handles.add(subscription);
    try {
      await ready;
    } catch (error) {
      subscription.unsubscribe();
      throw error;
    }
    return subscription;
  }

  /**
   * Sends a request and resolves with the decoded answer.
   *
   * @throws KinopioError NO_RESPONDERS, TIMEOUT, SERVICE_ERROR (with serviceCode and data),
   *   DISCONNECTED, INVALID_VALUE, INVALID_NAME, MESSAGE_TOO_LARGE, DISPOSED
   */
  async req<R = any>(value?: unknown, options: ReqOptions = {}): Promise<R> {
    this.#unfollow();
    const { timeout = this.#core.timeout, headers, signal } = options;
    if (!(Number.isFinite(timeout) && timeout > 0)) {
      throw new KinopioError("INVALID_CONFIG", `req ${this.subject}: timeout = ${timeout}: want milliseconds, more than 0`);
    }
    const session = this.#core.session;
    const asked = session.request(this.subject, encode(value, session.coding), timeout, packHeaders(headers), signal);
    const { rows, row } = await asked.catch((error) => this.#unanswered(error, timeout));
    return rows.value(row, session.coding) as R;
  }

  /**
   * Sends a request and resolves with the decoded answers of everybody who answers in time, in
   * the order of their arrival. None is no error, but nobody being there is.
   *
   * @throws KinopioError NO_RESPONDERS, SERVICE_ERROR when one of them failed, and as for {@link req}
   */
  async reqMany<R = any>(value?: unknown, options: ReqManyOptions = {}): Promise<R[]> {
    checkName(this.subject, false);
    this.#unfollow();
    const { window = this.#core.timeout, max = 0, headers } = options;
    if (!(Number.isFinite(window) && window > 0)) {
      throw new KinopioError("INVALID_CONFIG", `reqMany ${this.subject}: window = ${window}: want milliseconds, more than 0`);
    }
    if (!(Number.isInteger(max) && max >= 0)) {
      throw new KinopioError("INVALID_CONFIG", `reqMany ${this.subject}: max = ${max}: want a whole number from 1, or 0 for no limit`);
    }
    const { coding } = this.#core.session;
    const answers: R[] = [];
    await this.#core.session.requestMany(this.subject, encode(value, coding), window, max, packHeaders(headers), (rows, row) => {
      answers.push(rows.value(row, coding) as R);
    }).catch((error) => this.#unanswered(error, window));
    return answers;
  }

  /** Says of a request that got no answer whose and after how long. */
  #unanswered(error: unknown, ms: number): never {
    if (!(error instanceof KinopioError)) throw error;
    if (error.code === "NO_RESPONDERS") throw new KinopioError(error.code, `${error.message}: nobody serves ${this.subject}`, { cause: error });
    if (error.code === "TIMEOUT") throw new KinopioError(error.code, `${error.message}: no answer from ${this.subject} in ${ms} ms`, { cause: error });
    throw error;
  }

  /**
   * Answers requests, several at once. A handler that throws makes the request fail with
   * SERVICE_ERROR. Resolves when the server has the subscription.
   *
   * @throws KinopioError INVALID_CONFIG, INVALID_NAME, PERMISSION_DENIED, DISPOSED
   */
  async serve<Q = any, R = any>(handler: Handler<Q, R>, options: ServeOptions = {}): Promise<Service<Q>> {
    this.#written();
    const { queue = `${this.subject}.service`, concurrency = 64 } = options;
    if (typeof handler !== "function") throw new KinopioError("INVALID_CONFIG", `serve ${this.subject}: want a function, not ${typeof handler}`);
    if (!(Number.isInteger(concurrency) && concurrency > 0)) {
      throw new KinopioError("INVALID_CONFIG", `serve ${this.subject}: concurrency = ${concurrency}: want a whole number from 1`);
    }
    checkQueue(queue);
    const session = this.#core.session;
    const service = new Service<Q>(this.subject, handler, session.coding, concurrency, this.#core.report, () => {
      this.#core.services.delete(service);
      session.unsubscribe(wire.id);
    }, () => session.drain(wire.id), () => session.command("flush", this.#core.timeout));
    const wire = session.subscribe(
      this.subject,
      (rows, row) => service.deliver(new Message<Q>(session, rows, row, this.#wildcard ? "" : this.subject)),
      { queue, wildcard: this.#wildcard, serve: true },
    );
    this.#core.services.add(service);
    try {
      await wire.ready;
    } catch (error) {
      service.abandon();
      throw error;
    }
    return service;
  }

  /**
   * Resolves with the value when it is known, or with null when it is known that there is none: nobody is there who
   * knows one, which takes 2 s at most from when there is a connection.
   *
   * @param timeout milliseconds, 0 for no bound; default: the hub's option `timeout`
   * @throws KinopioError TIMEOUT, DISPOSED
   */
  ready(timeout: number = this.#core.timeout): Promise<T | null> {
    try {
      checkName(this.subject, false);
    } catch (error) {
      return Promise.reject(error);
    }
    this.#ask();
    if ((this.#payload !== undefined && !this.#stale) || this.#keep.isKnown) return Promise.resolve(this.#current());
    if (this.#core.session.dead) return Promise.reject(this.#core.session.dead);
    let stop = () => {};
    const first = new Promise<T | null>((resolve) => {
      if (this.#stale) this.#keep.whenKnown.then(() => resolve(this.#current()));
      stop = this.#stale ? this.#onNext(resolve) : this.onChange(resolve);
    });
    const late = () => new KinopioError("TIMEOUT", `timed out: after ${timeout} ms it is not known whether ${this.subject} has a value`);
    const either = Promise.race([first, this.#core.disposed]);
    return (timeout === 0 ? either : within(either, timeout, late)).finally(stop);
  }

  /**
   * Calls back with the value, if one was seen, and then with each change of it. A repetition
   * of the same bytes is no change.
   *
   * @returns what ends it
   * @throws KinopioError INVALID_NAME for a wildcard, which has no value; DISPOSED
   */
  watch(callback: (value: T) => void): () => void {
    checkName(this.subject, false);
    if (this.#core.session.dead) throw this.#core.session.dead;
    const watcher = this.#guarded(callback);
    this.#watchers.add(watcher);
    this.#released = false;
    this.#used();
    this.#tellDenied();
    if (this.#payload !== undefined) watcher(this.#current());
    return () => {
      if (this.#watchers.delete(watcher)) this.#used();
    };
  }

  /** Is {@link watch} without the present value. */
  #onNext(watcher: (value: T) => void): () => void {
    this.#watchers.add(watcher);
    this.#used();
    return () => {
      if (this.#watchers.delete(watcher)) this.#used();
    };
  }

  /** Calls back, and reports what it throws. */
  #guarded(callback: (value: T) => void): (value: T) => void {
    const failed = (cause: unknown) => {
      this.#core.report(new KinopioError("CALLBACK_FAILED", `watcher of ${this.subject} threw: ${messageOf(cause)}`, { cause }));
    };
    return (value: T) => {
      try {
        const result: unknown = callback(value);
        if (typeof (result as PromiseLike<unknown>)?.then === "function") (result as PromiseLike<unknown>).then(undefined, failed);
      } catch (cause) {
        failed(cause);
      }
    };
  }

  /**
   * Is {@link watch} that says whether there is a value: calls back with the present one, or with null and false, as soon
   * as it is known whether there is one, and then with each change.
   */
  onChange(callback: (value: T | null, exists: boolean) => void): () => void {
    const told = (value: T | null) => callback(value, this.#payload !== undefined);
    const stop = this.watch(told);
    if (this.#payload !== undefined) return stop;
    const absent = this.#guarded(told);
    if (this.#keep.isKnown) absent(null!);
    const unless = this.#keep.whenAbsent(() => absent(null!));
    return () => {
      unless();
      stop();
    };
  }

  /**
   * Is {@link watch}, beginning with null if no value was seen yet: the contract of Svelte's stores, by which
   * `$battery` is the value of a variable `battery`, and of observables, which Angular's pipe `async` and `toSignal`,
   * Solid's `from` and RxJS take.
   */
  subscribe(observer: ((value: T | null) => void) | { next?(value: T | null): void }): (() => void) & { unsubscribe(): void } {
    const callback = typeof observer === "function" ? observer : (value: T | null) => observer.next?.(value);
    if (this.#payload === undefined) this.#guarded(callback)(null!);
    const end = this.watch(callback);
    return Object.assign(end, { unsubscribe: end });
  }

  /** @internal what RxJS asks of everything that it makes an observable of */
  "@@observable"(): this {
    return this;
  }

  /** `JSON.stringify(variable)`: the value, if it is known. To look at it begins nothing. */
  toJSON(): T | null {
    const { __v_isReactive: followed } = this as { __v_isReactive?: boolean };
    return followed ? this.value : raw(this).#current();
  }

  /** The value was read through a proxy of others. */
  #see(view: object): void {
    this.#views ??= new Views(() => {
      this.#viewer = this.#guarded((value) => {
        // Nobody says when what reads it is gone: who is there reads it again.
        this.#seen = false;
        this.#asked = this.#looked = true;
        this.#hold();
        this.#views!.tell("value", value);
      });
    });
    this.#views.saw(view, "value");
    this.#seen = true;
  }

  #ask(): void {
    if (this.#wildcard || this.#looked) return;
    this.#asked = this.#looked = true;
    this.#mentioned = this.#released = false;
    this.#hold();
    this.#follow();
    this.#tellDenied();
  }

  /** What is known of the value beside what it is. */
  get #keep(): KeptValue {
    return (this.#kept ??= new KeptValue({
      core: this.#core,
      subject: this.subject,
      rule: this.#rule,
      echoes: () => this.#feed.active && !this.#core.noEcho,
      listen: () => this.#feed.settle(),
      fence: () => this.#fence(),
      fresh: () => void (this.#stale = false),
      settled: () => {
        this.#follow();
        this.#forget();
      },
      change: (what) => {
        this.#notice();
        what();
        this.#set(this.#rule.now);
      },
    }));
  }

  /** Whether somebody wants the value. */
  get #interested(): boolean {
    const kept = this.#kept;
    if (this.#asked || this.#holds || this.#watchers.size > 0 || this.#seen) return true;
    return kept !== undefined && (kept.waits > 0 || (this.#lingers && kept.follows));
  }

  /** Whether the subject is to be followed without any callback. */
  get #needed(): boolean {
    return this.#interested || this.#lingers || (this.#mentioned && !this.#target);
  }

  /** Begins to follow the subject, and what is set there, or ends that, as it is needed: hub/following.go is the same. */
  #follow(): void {
    if (this.#wildcard) return;
    const interested = this.#interested;
    if (!interested && this.#kept?.follows) {
      this.#kept.lapse();
      this.#stale = true;
    }
    const needed = this.#needed;
    if (!needed && this.#subscriptions.size === 0) this.#stale = true;
    this.#feed.follow = needed;
    if (interested) this.#keep.follow();
  }

  #hold(): void {
    this.#core.leases.hold(this, this.#core.readLinger);
  }

  /** A callback or watcher has begun or ended. When that was the last, the variable lingers. */
  #used(): void {
    this.#mentioned = false;
    this.#lingers = !this.#released && this.#subscriptions.size === 0 && this.#watchers.size === 0 && !this.#asked && !this.#holds && this.#feed.wanted;
    if (this.#lingers) this.#core.leases.hold(this, this.#core.linger, true);
    this.#follow();
    this.#forget();
  }

  /** @internal the end of the lease, unless the variable was used meanwhile */
  lapse(): void {
    const used = this.#looked || this.#wrote;
    this.#asked &&= this.#looked;
    this.#looked = this.#wrote = this.#mentioned = this.#lingers = false;
    if (used) this.#hold();
    this.#follow();
  }

  /**
   * Ends the following of the variable at once, and forgets its value, unless callbacks or watchers of this hub still
   * need it; what this hub has set is then no longer kept here for others. A value that is still to be sent is sent
   * first. Whoever uses it again begins anew.
   *
   * Without it a variable ends by itself: the option `linger` after its last callback or watcher has ended, if its value
   * was not read; between once and twice the option `readLinger` after its value was read for the last time, of which
   * the last one that was known can still be read then, which follows the variable anew; and never while this hub keeps what
   * it has set.
   */
  release(): void {
    this.#asked = this.#looked = this.#wrote = this.#mentioned = this.#lingers = this.#seen = this.#holds = false;
    this.#released = true;
    this.#follow();
    this.#forget();
  }

  /** Forgets what is known of the value, if it was released and nobody needs it. */
  #forget(): void {
    if (!this.#released || this.#needed || this.#subscriptions.size > 0) return;
    this.#target = this.#stale = false;
    this.#kept = undefined;
    this.#rule.forget();
    this.#payload = this.#before = this.#spare = undefined;
    this.#decoded = true;
    this.#value = null;
  }

  /** The server does not permit to follow the subject, for which no callback waits. */
  #deafened(error: KinopioError): void {
    this.#denied = error;
    this.#tellDenied();
  }

  /** Reports that once, when somebody wants the value. */
  #tellDenied(): void {
    if (!this.#denied || !(this.#asked || this.#watchers.size > 0) || this.#told) return;
    this.#told = true;
    this.#core.report(this.#denied);
  }

  /** The variable is a target: refuses wildcards, and follows no more unless asked to. */
  #unfollow(): void {
    if (this.#wildcard) checkName(this.subject, false); // which refuses it
    if (!this.#wrote) this.#written();
  }

  #written(): void {
    this.#target = this.#wrote = true;
    this.#mentioned = this.#released = false;
    this.#hold();
    this.#follow();
  }

  #current(): any {
    if (!this.#decoded) {
      this.#value = decodePayload(this.#payload!, this.#core.session.coding);
      this.#decoded = true;
    }
    if (this.#payload instanceof Uint8Array) this.#mine.delete(this.#payload);
    return this.#value;
  }

  /** An own message, which is the value at once. */
  #sent(batch: number, data: Payload): void {
    const own = typeof data === "string" ? data : this.#copy(data);
    this.#stale = false;
    this.#notice();
    this.#free(this.#rule.sent(own, this.#feed.active && !this.#core.noEcho, batch));
    if (this.#kept) this.#kept.bare = true;
    this.#set(own);
  }

  /** What has become of own messages. */
  #settled(batch: number, ok: boolean): void {
    if (ok) this.#rule.went(batch);
    else this.#rule.failed(batch);
    const { now, pending } = this.#rule;
    if (pending === 0) {
      if (this.#before !== now) this.#free(this.#before);
      this.#before = now;
    }
    if (!ok) this.#set(now);
  }

  /** @internal the server does not permit what was published */
  denied(): void {
    this.#kept?.denied();
    this.#rule.denied();
    this.#set(this.#rule.now);
  }

  #copy(data: Uint8Array): Uint8Array {
    let own = this.#spare;
    if (own?.length === data.length) own.set(data);
    else own = data.slice();
    this.#spare = undefined;
    this.#mine.add(own);
    return own;
  }

  /** Lets bytes be written over that are the value no more, if nobody else has them. */
  #free(former: Payload | undefined): void {
    if (former instanceof Uint8Array && this.#mine.has(former)) this.#spare = former;
  }

  /** Lets the rule know of connections that were lost. */
  #notice(): void {
    const { losses } = this.#core.session;
    if (losses === this.#losses) return;
    this.#losses = losses;
    this.#rule.lost();
  }

  #arrived(message: Message<T>): void {
    const subscriptions = (this.#listed ??= [...this.#subscriptions]);
    if (!this.#takes(message, subscriptions.length > 0 ? message : undefined)) return;
    for (const subscription of subscriptions) subscription.deliver(message);
  }

  /** A message of the subject; `decoded` is the same if it will be decoded anyway. @returns whether callbacks get it */
  #takes(message: Message<T>, decoded?: Message<T>): boolean {
    const { stamp } = message;
    if (stamp && !this.#wildcard) return this.#keep.heard(stamp, message.payload);
    this.#heard(message.payload, decoded);
    return true;
  }

  /** A published message of the subject; `message` is one that will be decoded anyway. */
  #heard(payload: Payload, message?: Message<T>): void {
    if (this.#wildcard) return; // many subjects have no one value
    this.#stale = false;
    this.#notice();
    if (this.#kept) this.#kept.bare = true;
    if (this.#rule.heard(payload)) this.#fence();
    const { now } = this.#rule;
    if (now === payload) this.#set(payload, message);
    else this.#set(now);
  }

  /** Finds out whether echoes still come: they do so before the server's answer to what is sent now. */
  #fence(): void {
    if (this.#fencing) return;
    this.#fencing = true;
    const { latest } = this.#rule;
    const { session, timeout } = this.#core;
    setTimeout(async () => {
      await session.command("flush", timeout).catch(() => {}); // without an answer nothing says that they come, either
      this.#fencing = false;
      if (session.dead) return;
      this.#rule.passed(latest);
      this.#set(this.#rule.now);
    }, fenceAfterMs);
  }

  /** Changes the value and tells the watchers; `message` is one that will be decoded anyway. */
  #set(payload: Payload | undefined, message?: Message<T>): void {
    if (payload === this.#payload && !message) return;
    const changed = (this.#watchers.size > 0 || this.#viewer) && !equal(payload, this.#payload);
    this.#payload = payload;
    this.#decoded = message !== undefined || payload === undefined;
    this.#value = message ? message.data : null;
    if (!changed) return;
    for (const watcher of [...this.#watchers]) watcher(this.#current());
    this.#viewer?.(this.#current());
  }
}

/** How long an echo may take before the server is asked whether it still comes. */
const fenceAfterMs = 100;
