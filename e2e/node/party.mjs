// What a hub of the package does in the test of all pairs, in Node and in a page alike.

/** How a value is shown, the same by all parties. */
const show = (value) => (value instanceof Uint8Array ? `bytes ${Array.from(value)}` : JSON.stringify(value));

/** The actions of a hub; `hears` is called with each value that comes, as it is shown. */
export function party(hub, hears) {
  const at = (subject) => {
    const [scope, variable] = subject.split(".");
    return hub.getScope(scope).getVariable(variable);
  };
  const valueOf = (code) => (0, eval)(`(${code})`);
  return {
    hear: ({ subject }) => at(subject).sub((value) => hears(show(value))),
    say: async ({ subject, code }) => {
      await at(subject).pub(valueOf(code));
      await hub.flush();
    },
    offer: ({ subject }) =>
      at(subject).serve((n) => {
        if (typeof n !== "number") throw new Error("want a number");
        return { twice: n * 2 };
      }),
    ask: ({ subject, code }) =>
      at(subject).req(valueOf(code)).then(show, (error) => `${error.code} ${error.message}`),
  };
}
