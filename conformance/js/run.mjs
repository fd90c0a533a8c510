// Plays scenarios on the JavaScript API, in Node and in browsers. README.md has their language.
import { hubStep, openHub } from "./hubverbs.mjs";
import { handleStep, rawStep, serverStep, vectorsStep } from "./labverbs.mjs";
import { display, matches, same } from "./values.mjs";
import { Box, list } from "./handles.mjs";

const scenarioWords = new Set(["name", "only", "because", "servers", "hubs", "patience", "errors", "steps", "mustFail"]);
const stepWords = new Set([
  "do", "at", "as", "into", "later", "repeat", "steps",
  "options", "value", "text", "base64", "headers", "reply", "distinct", "times", "together", "queue", "max", "conflate", "order", "concurrency",
  "timeout", "window", "with", "code", "answers",
  "gives", "givesAll", "message", "fails", "naming", "notNaming", "namingOption", "service", "notBefore", "is", "are", "has", "values",
  "messages", "range", "anyOrder", "until", "all",
]);

/**
 * Plays one scenario; rejects with the step that did not hold, and why.
 *
 * @param platform {KinopioHub, lab, scheme, vectors}: the class, the lab's URL, the scheme of servers' URLs
 */
export async function play(platform, scenario) {
  const run = new Run(platform, scenario);
  let failure;
  try {
    await run.all();
  } catch (error) {
    failure = error;
  }
  try {
    await run.end();
    if (!failure) run.nothingLeft();
  } catch (error) {
    failure ??= error;
  }
  if (failure) throw failure;
}

/** Plays a scenario whose failure must say what it is about. */
export async function playSelfCheck(platform, scenario) {
  let failure;
  try {
    await play(platform, scenario);
  } catch (error) {
    failure = error.message;
  }
  if (!scenario.mustFail || !failure?.includes(scenario.mustFail)) {
    throw new Error(`the scenario ended with ${failure}, want a failure that says ${display(scenario.mustFail)}`);
  }
}

/** Whether a scenario is for this platform. */
export const isOurs = (scenario) => scenario.only !== "go";

/** How many milliseconds a step may take. */
const patienceOf = (scenario) => scenario.patience ?? 10_000;

/** One scenario that is being played. */
export class Run {
  servers = new Map();
  hubs = new Map();
  handles = new Map();
  over = new AbortController();

  constructor(platform, scenario) {
    this.platform = platform;
    this.scenario = scenario;
    this.patience = patienceOf(scenario);
  }

  /** Sends a command to the lab. */
  async ask(command, signal) {
    const response = await fetch(this.platform.lab, { method: "POST", body: JSON.stringify(command), headers: { "content-type": "application/json" }, signal });
    const result = await response.json();
    if (result.error) throw new Error(result.error);
    return result;
  }

  async all() {
    const { servers = { main: {} }, hubs = { a: {} }, steps } = this.scenario;
    checkWords(this.scenario, scenarioWords);
    for (const [name, settings] of Object.entries(servers)) {
      const { server, url } = await this.ask({ do: "open", scheme: this.platform.scheme, settings });
      this.servers.set(name, { id: server, url });
    }
    for (const [name, options] of Object.entries(hubs)) openHub(this, name, options ?? {});
    await this.steps(steps);
  }

  async steps(steps) {
    for (const [i, step] of steps.entries()) {
      // Of what must fail it is the last step that does; those before it may take their time on a busy machine.
      if (this.scenario.mustFail) this.patience = i === steps.length - 1 ? patienceOf(this.scenario) : patienceOf({});
      try {
        await this.step(step);
      } catch (error) {
        throw new Error(`step ${i + 1}, ${display(step.do)}${step.at ? ` ${display(step.at)}` : ""}: ${error.message}`, { cause: error });
      }
    }
  }

  /** Does one step: "actor verb target". */
  async step(step) {
    checkWords(step, stepWords);
    const [, actor, verb = "", target = ""] = /^(\S+)(?: (\S+))?(?: (.*))?$/.exec(step.do);
    if (step.do === "repeat") {
      for (let i = 0; i < step.repeat; i++) await this.steps(step.steps);
      return undefined;
    }
    if (actor === "vectors") return vectorsStep(this, verb);
    if (actor === "raw") return rawStep(this, step, verb, target);
    if (this.servers.has(actor) && verb) return serverStep(this, step, this.servers.get(actor), verb);
    if (verb === "open") return this.finish(step, async () => void openHub(this, actor, step.options ?? {}));
    if (this.hubs.has(actor)) return hubStep(this, step, this.hubs.get(actor), verb, target);
    if (this.handles.has(actor)) return handleStep(this, step, this.handles.get(actor), verb);
    throw new Error(`there is no server, hub or handle ${display(actor)}`);
  }

  /** Runs an operation: now, or later as a handle. */
  finish(step, operation) {
    const began = performance.now();
    const outcome = operation().then(
      (result) => ({ ...result, took: performance.now() - began }),
      (error) => ({ error, took: performance.now() - began }),
    );
    if (!step.later) return this.settle(step, outcome);
    const handle = { outcome, settled: undefined };
    outcome.then((o) => (handle.settled = o));
    this.handles.set(step.as, handle);
    return undefined;
  }

  async settle(step, outcome) {
    let timer;
    const late = new Promise((_, reject) => {
      timer = setTimeout(() => reject(new Error(`did not end within ${this.patience} ms`)), this.patience);
    });
    try {
      check(step, await Promise.race([outcome, late]));
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until `what` does not throw. */
  async eventually(what) {
    const deadline = performance.now() + this.patience;
    for (;;) {
      try {
        return await what();
      } catch (error) {
        if (performance.now() > deadline) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  async end() {
    for (const handle of this.handles.values()) handle.gate?.release();
    for (const { hub } of this.hubs.values()) await hub.dispose();
    this.over.abort();
    for (const { id } of this.servers.values()) await this.ask({ do: "close", server: id });
  }

  /** Finds what came and no step asked for. */
  nothingLeft() {
    for (const [name, { box }] of this.handles) {
      if (box instanceof Box && !box.forgetful && box.records.length > 0) throw new Error(`at the end ${name} has got more than was expected: ${list(box.records)}`);
    }
    for (const [name, { errors, missing }] of this.hubs) {
      if (errors.records.length > 0 && this.scenario.errors !== "any") {
        throw new Error(`at the end hub ${name} has reported errors that were not expected: ${list(errors.records)}`);
      }
      if (missing.records.length > 0 && this.scenario.errors !== "any") {
        throw new Error(`at the end hub ${name} has missed messages that were not expected to be missing: ${list(missing.records)}`);
      }
    }
  }
}

function checkWords(given, words) {
  for (const word of Object.keys(given)) if (!words.has(word)) throw new Error(`the language has no word ${display(word)}`);
}

/** Compares what came of an operation with what its step wants. */
function check(step, { error, value, many, wire, took }) {
  if (took < (step.notBefore ?? 0) * 0.9) throw new Error(`took ${took} ms, want at least ${step.notBefore} ms`);
  if (step.fails) return checkError(step, error);
  if (error) throw new Error(`failed: ${error.code}: ${error.message}`, { cause: error });
  if ("gives" in step) same(value, step.gives);
  if (step.givesAll) {
    if (many.length !== step.givesAll.length) throw new Error(`got ${many.length} answers: ${display(many)}, want ${step.givesAll.length}`);
    const sorted = (values) => (step.anyOrder ? values.map(display).sort() : values.map(display));
    same(sorted(many), sorted(step.givesAll));
  }
  if (step.message) matches(step.message, wire);
  return undefined;
}

function checkError(step, error) {
  if (!error) throw new Error(`succeeded, want it to fail with ${step.fails}`);
  if (error.code !== step.fails) throw new Error(`failed with ${error.code} (${error.message}), want ${step.fails}`, { cause: error });
  for (const text of [...(step.naming ?? []), ...(step.namingOption ? [step.namingOption] : [])]) {
    if (!error.message.includes(text)) throw new Error(`failed with ${display(error.message)}, want it to name ${display(text)}`);
  }
  for (const text of step.notNaming ?? []) {
    if (error.message.includes(text)) throw new Error(`failed with ${display(error.message)}, want it not to name ${display(text)}`);
  }
  const { service } = step;
  if (!service) return;
  if (error.message !== service.message || error.serviceCode !== service.code) {
    throw new Error(`service error ${display(error.message)} with code ${display(error.serviceCode)}, want ${display(service.message)} with ${display(service.code)}`);
  }
  if ("data" in service) same(error.data, service.data);
}
