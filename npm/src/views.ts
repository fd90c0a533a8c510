// Vue, Alpine and others wrap objects in proxies: what reads through one is called again when something was
// assigned through it. So what changes by itself is assigned to those through which it was read.

let assigning = false;

/** Whether an assignment only tells that something has changed. */
export const telling = (): boolean => assigning;

const most = 8; // frameworks keep one proxy for an object, or a few

/** The proxies of others through which properties of one object were read. */
export class Views {
  #by = new Map<string, Set<any>>();
  #begin: (name: string) => void;

  /** @param begin is called when a property is read through one for the first time */
  constructor(begin: (name: string) => void) {
    this.#begin = begin;
  }

  /** A property was read through `view`. */
  saw(view: any, name: string): void {
    while (view.__v_isReadonly && view.__v_raw) view = view.__v_raw; // Vue refuses to be told through those
    let views = this.#by.get(name);
    if (!views) {
      this.#by.set(name, (views = new Set()));
      this.#begin(name);
    }
    views.add(view);
    if (views.size > most) views.delete(views.values().next().value);
  }

  /** A property has changed. */
  tell(name: string, value: unknown): void {
    for (const view of [...(this.#by.get(name) ?? [])]) {
      assigning = true;
      try {
        view[name] = value;
      } finally {
        assigning = false;
      }
    }
  }
}
