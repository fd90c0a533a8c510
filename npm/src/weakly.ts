import type { Leased, Leases } from "./leases.js";

interface Entry {
  cache: { gone(name: string, ref: WeakRef<object>): void };
  name: string;
  ref: WeakRef<object>;
}

const collected = /* @__PURE__ */ new FinalizationRegistry<Entry>(({ cache, name, ref }) => cache.gone(name, ref));

/** Objects by their names: one each, for as long as anybody has it; those that were asked for lately are held. */
export class Weakly<T extends object> implements Leased {
  #leases: Leases;
  #ms: number;
  #recent = new Map<string, T>();
  #known = new Map<string, WeakRef<T>>();

  /** @param ms for how long they are held at least */
  constructor(leases: Leases, ms: number) {
    this.#leases = leases;
    this.#ms = ms;
  }

  /** The object of that name, if there is one. */
  peek(name: string): T | undefined {
    return this.#recent.get(name) ?? this.#known.get(name)?.deref();
  }

  /** The object of that name, which `make` makes if there is none. */
  get(name: string, make: () => T): T {
    return this.#recent.get(name) ?? this.#hold(name, this.peek(name) ?? this.#add(name, make()));
  }

  lapse(): void {
    this.#recent.clear();
  }

  /** For the registry: an object has been collected. */
  gone(name: string, ref: WeakRef<object>): void {
    if (this.#known.get(name) === ref) this.#known.delete(name);
  }

  #add(name: string, object: T): T {
    const ref = new WeakRef(object);
    this.#known.set(name, ref);
    collected.register(object, { cache: this, name, ref });
    return object;
  }

  #hold(name: string, object: T): T {
    this.#recent.set(name, object);
    this.#leases.hold(this, this.#ms);
    return object;
  }
}
