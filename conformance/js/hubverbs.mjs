// What a step asks of a hub and its variables.
import { serve, sub, iterate } from "./callbacks.mjs";
import { Box, list } from "./handles.mjs";
import { revive, same } from "./values.mjs";

/** Makes a hub that later steps know by its name. */
export function openHub(run, name, given) {
  const options = { servers: ["main"], ...given, wasmUrl: run.platform.wasmUrl };
  if (Array.isArray(options.servers)) {
    options.servers = options.servers.map(
      (server) => run.servers.get(server)?.url ?? (server === "nowhere" ? `${run.platform.scheme}://127.0.0.1:1` : server),
    );
  }
  if (given.authenticator) options.authenticator = authenticator(given.authenticator);
  if (given.codec === "hex") options.codec = hexJSON;
  const [states, errors, missing, logs] = [new Box(), new Box(), new Box(), new Box()];
  if (given.debug === true) options.debug = (line) => logs.put({ value: line });
  const hub = new run.platform.KinopioHub(options);
  hub.onStateChange((state) => states.put({ value: state }));
  hub.onError((error) => errors.put({ value: `${error.code}: ${error.message}` }));
  hub.onMissing((event) => missing.put({ value: event }));
  run.hubs.set(name, { hub, states, errors, missing, logs });
}

/** The canned codec "hex". */
const hexJSON = {
  encode: (value) => {
    const json = JSON.stringify(value);
    if (json === undefined) throw new Error("no JSON");
    const hex = Array.from(new TextEncoder().encode(json), (byte) => byte.toString(16).padStart(2, "0"));
    return new TextEncoder().encode(hex.join(""));
  },
  decode: (bytes) => {
    const text = new TextDecoder().decode(bytes);
    if (!/^(?:[0-9a-f]{2})*$/.test(text)) throw new Error("no hex");
    return JSON.parse(new TextDecoder().decode(Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16))));
  },
};

/** A canned authenticator: gives the credentials, or throws. */
const authenticator = ({ throws, ...credentials }) => async () => {
  if (throws) throw new Error(throws);
  return credentials;
};

export async function hubStep(run, step, { hub, states, errors, missing, logs }, verb, target) {
  const simple = (operation) => run.finish(step, async () => ({ value: await operation() }));
  const timeout = step.timeout === undefined ? [] : [step.timeout];
  switch (verb) {
    case "connect":
    case "connected":
    case "reconnect":
    case "flush":
      return simple(() => hub[verb](...timeout));
    case "dispose":
      return simple(() => hub.dispose());
    case "observe": // the state, with a callback that throws
      hub.onStateChange(() => {
        throw new Error("thrown by an observer");
      });
      return undefined;
    case "state":
      return run.eventually(() => same(hub.state, step.is));
    case "states":
      return same((await states.take(step.are.length, run.patience)).map((r) => r.value), step.are);
    case "errors": {
      const got = await errors.take(step.are.length, run.patience);
      step.are.forEach((want, i) => {
        if (!got[i].value.startsWith(`${want}:`)) throw new Error(`error ${i + 1}: got ${list(got)}, want ${step.are}`);
      });
      for (const text of step.naming ?? []) if (!list(got).includes(text)) throw new Error(`got ${list(got)}, want it to name ${text}`);
      return undefined;
    }
    case "missing":
      return missing.gets(step, run.patience);
    case "logs": // each text in some line, and others in none
      return run.eventually(() => {
        const all = logs.records.map((r) => r.value).join("\n");
        for (const text of step.naming ?? []) if (!all.includes(text)) throw new Error(`no line of the log names ${JSON.stringify(text)}: ${list(logs.records)}`);
        for (const text of step.notNaming ?? []) if (all.includes(text)) throw new Error(`a line of the log names ${JSON.stringify(text)}`);
      });
    case "status":
      return run.eventually(() => {
        const status = hub.status;
        hasFields(step, { ...status, lastError: status.lastError?.code ?? null });
      });
    case "health":
      return health(run, step, hub);
  }
  if (step.at === undefined && !target.includes("/")) throw new Error(`${JSON.stringify(target)} is no variable: want scope/variable`);
  return variableStep(run, step, hub, () => variable(hub, step, target), verb);
}

/** Finds scope/…/variable by the names. */
function variable(hub, step, target) {
  const names = step.at ?? target.split("/");
  let scope = hub.getScope(names[0]);
  for (const name of names.slice(1, -1)) scope = scope.getScope(name);
  return scope.getVariable(names.at(-1), ...(step.with === "distinct" ? [{ distinct: true }] : []));
}

async function variableStep(run, step, hub, find, verb) {
  const timeout = step.timeout === undefined ? {} : { timeout: step.timeout };
  switch (verb) {
    case "get": // makes the variable, which follows its subject from then on
      return void find();
    case "pub":
      if (step.with === "load") return load(run, step, hub, find());
      return run.finish(step, async () => publish(step, find()));
    case "req":
      return run.finish(step, async () => ({ value: await find().req(revive(step.value), { ...timeout, headers: step.headers }) }));
    case "reqMany":
      return run.finish(step, async () => ({ many: await find().reqMany(revive(step.value), { max: step.max, window: step.window, headers: step.headers }) }));
    case "value":
      return run.eventually(() => same(find().value, step.is));
    case "release":
      return void find().release();
    case "ready":
      return run.finish(step, async () => ({ value: await find().ready(step.timeout) }));
    case "watch":
      return run.finish(step, async () => {
        const box = new Box();
        const end = find().watch((value) => {
          box.put({ value });
          if (step.with === "throw") throw new Error("thrown by a watcher");
        });
        run.handles.set(step.as, { box, end });
      });
    case "change":
      return run.finish(step, async () => {
        const box = new Box();
        run.handles.set(step.as, { box, end: find().onChange((value, exists) => box.put({ value: [value, exists] })) });
      });
    case "set":
      return run.finish(step, async () => {
        for (let i = 0; i < (step.times ?? 1); i++) await find().set(revive(step.value, i), timeout);
      });
    case "delete":
      return run.finish(step, async () => find().delete(timeout));
    case "meta":
      return run.eventually(() => hasFields(step, find().meta));
    case "agrees": {
      if (!run.hubs.has(step.with)) throw new Error(`there is no hub ${JSON.stringify(step.with)}`);
      const other = variable(run.hubs.get(step.with).hub, {}, step.do.split(" ")[2]);
      const state = ({ value, meta }) => JSON.stringify([value, meta]);
      return run.eventually(() => {
        const [mine, theirs] = [state(find()), state(other)];
        if (mine !== theirs) throw new Error(`the one has ${mine}, the other ${theirs}`);
      });
    }
    case "sub":
      return sub(run, step, find);
    case "iterate":
      return iterate(run, step, hub, find());
    case "serve":
      return serve(run, step, find);
  }
  throw new Error(`a variable has no verb ${JSON.stringify(verb)}`);
}

async function publish(step, variable) {
  const options = {};
  for (const name of ["headers", "reply", "distinct"]) if (step[name] !== undefined) options[name] = step[name];
  const all = [];
  for (let i = 0; i < (step.times ?? 1); i++) {
    const sent = variable.pub(revive(step.value, i), options);
    if (step.together) all.push(sent);
    else await sent;
  }
  await Promise.all(all);
}

/** Publishes 0, 1, 2 … each after the server has the one before, until the handle ends. */
function load(run, step, hub, variable) {
  let over = false;
  const outcome = (async () => {
    try {
      for (let i = 0; !over; i++) {
        await variable.pub(i);
        await hub.flush().catch(() => {}); // paces; the connection may have been lost
      }
      return {};
    } catch (error) {
      return { error };
    }
  })();
  run.handles.set(step.as, { outcome, end: () => (over = true) });
}

function hasFields(step, got) {
  for (const [name, want] of Object.entries(step.has)) {
    try {
      same(got[name], want);
    } catch (error) {
      throw new Error(`${name}: ${error.message}`);
    }
  }
}

/** Waits for a report that says what the step wants. */
async function health(run, step, hub) {
  const reports = new Box();
  const stop = hub.onHealth((h) => reports.put({ value: { ...h, server: h.server !== "", rttMs: h.rttMs > 0 } }));
  const deadline = performance.now() + run.patience;
  try {
    for (;;) {
      const [{ value }] = await reports.take(1, run.patience);
      try {
        return hasFields(step, value);
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
    }
  } finally {
    stop();
  }
}
