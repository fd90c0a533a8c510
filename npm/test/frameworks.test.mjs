import { readFileSync } from "node:fs";
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import util from "node:util";
import KinopioHub from "../dist/index.mjs";
import { root, startServer, until } from "./helpers.mjs";

// Hubs in the hands of frameworks, as these are published (npm/tools has them).
const load = createRequire(`${root}tools/package.json`);
const vue = load("vue");
const mobx = load("mobx");
const { expect } = load("expect");

let server;
let hub;
let other;
before(async () => {
  server = await startServer();
  hub = new KinopioHub({ servers: [server.ws] });
  other = new KinopioHub({ servers: [server.ws] });
  await Promise.all([hub.connected(), other.connected()]);
});
after(async () => {
  await Promise.all([hub.dispose(), other.dispose()]);
  await server.stop();
});

// What consoles, devtools, frameworks and test frameworks ask an object for.
const probes = [
  "then", "inspect", "asymmetricMatch", "nodeType", "tagName", "hasAttribute", "$$typeof", "$$asymmetricMatch",
  "@@__IMMUTABLE_ITERABLE__@@", "__v_raw", "__v_skip", "__v_isRef", "__v_isReactive", "__v_isReadonly", "__ob__", "_isVue",
  "_isMockFunction", "__esModule", "__proto__x", "__kinopio", "_isAMomentObject", Symbol.toStringTag, Symbol.iterator, Symbol("any"),
];

test("looking at a hub, its scopes and variables begins nothing", async () => {
  const scope = hub.looked;
  const looks = {
    probes: (it) => probes.forEach((name) => assert.equal(it[name], undefined, String(name))),
    inspect: (it) => util.inspect(it, { depth: 9, showHidden: true }),
    format: (it) => util.format("%o %O %j", it, it, it),
    json: (it) => JSON.stringify(it),
    string: (it) => String(it),
    keys: (it) => [Object.keys(it), Object.entries(it), Reflect.ownKeys(it), { ...it }],
    equal: (it) => expect(it).toEqual(it),
    // To print a difference Jest reads every getter, of a variable its value, too.
    unequal: (it) => assert.throws(() => expect(it).toEqual({ a: 1 })),
    deep: (it) => assert.notDeepEqual(it, { a: 1 }),
    raw: (it) => vue.toRaw(it) === it && vue.isRef(it) && vue.isReactive(it),
    in: (it) => "battery" in it || it instanceof Promise,
  };
  for (const it of [hub, scope]) for (const [name, look] of Object.entries(looks)) assert.doesNotThrow(() => look(it), name);
  const variable = scope.battery;
  for (const [name, look] of Object.entries(looks)) if (!["probes", "unequal"].includes(name)) assert.doesNotThrow(() => look(variable), name);
  for (const key of ["some", "properties", "that", "exist", "when", "asked"]) scope[key];
  assert.equal(await variable, variable);
  assert.equal(await hub, hub);
  await hub.flush();
  assert.equal(hub.status.subscriptions, 0);
  variable.value; // now it is wanted
  await hub.flush();
  assert.equal(hub.status.subscriptions, 1);
});

test("the console says what it is, and what is known of it", async () => {
  await hub.shown.battery.pub(87);
  assert.equal(util.inspect(hub.shown.battery), "Variable { subject: 'shown.battery', value: 87 }");
  assert.equal(util.inspect(hub.shown), "Scope { name: 'shown' }");
  assert.match(util.inspect(hub), /^KinopioHub \{ state: 'connected', server: 'ws:/);
  assert.equal(JSON.stringify({ battery: hub.shown.battery }), '{"battery":87}');
  assert.throws(() => structuredClone(hub), { name: "DataCloneError" });
  assert.throws(() => structuredClone(hub.shown), { name: "DataCloneError" });
});

test("methods may be taken off their objects", async () => {
  const { getScope, connected, flush, onStateChange } = hub;
  await connected();
  onStateChange(() => {})();
  const { getVariable } = getScope("taken");
  const { pub, sub, req, reqMany, serve, ready, watch } = getVariable("it");
  assert.equal(hub.taken.it.pub, pub);
  assert.equal(hub.flush, flush);
  const seen = [];
  const { unsubscribe, drain } = await sub((value) => seen.push(value));
  const stop = watch((value) => seen.push(value));
  await pub(1);
  assert.equal(await ready(), 1);
  await until(() => seen.length === 2);
  stop();
  await drain();
  unsubscribe();
  const service = await serve((n) => n + 1);
  assert.equal(await req(1), 2);
  assert.deepEqual(await reqMany(1, { max: 1 }), [2]);
  const { unsubscribe: end } = service;
  end();
  await service.closed;
  await flush();
});

test("Vue follows a variable in its data, a hub, and what is marked raw stays so", async () => {
  const { reactive, effect, markRaw, readonly, toRaw, shallowReactive } = vue;
  const data = reactive({ battery: hub.vue.battery, hub });
  assert.ok(markRaw(hub.vueRaw));
  const raw = reactive({ hub: markRaw(new KinopioHub({ servers: [server.ws], autoConnect: false })) });
  assert.equal(toRaw(raw).hub, raw.hub);
  await raw.hub.dispose();
  const seen = { data: [], hub: [], readonly: [] };
  effect(() => seen.data.push(data.battery.value));
  effect(() => seen.hub.push(data.hub.vue.battery.value));
  effect(() => seen.readonly.push(readonly(data).battery.value));
  await hub.flush();
  await other.vue.battery.pub(80);
  await other.vue.battery.pub(81);
  await until(() => seen.data.at(-1) === 81, JSON.stringify(seen));
  for (const [how, values] of Object.entries(seen)) assert.deepEqual(values, [null, 80, 81], how);
  await data.battery.pub({ percent: 82 });
  assert.deepEqual(hub.vue.battery.value, { percent: 82 });
  assert.deepEqual(JSON.parse(JSON.stringify(seen.data.at(-1))), { percent: 82 });
  await (await data.battery.sub(() => {})).drain();
  await shallowReactive({ hub }).hub.connected();
  await data.hub.connected();
  assert.throws(() => (data.battery.value = 1), { code: "INVALID_NAME", message: /pub/ });
});

test("Vue shows a variable in a template, and renders again when it or the hub changes", async () => {
  const { renderToString } = load("vue/server-renderer");
  const app = { data: () => ({ battery: hub.template.battery }), template: "<p>{{ battery.value }} {{ battery }}</p>" };
  hub.template.battery.value;
  await hub.flush();
  await other.template.battery.pub(55);
  await until(() => hub.template.battery.value === 55, "the message has come");
  assert.equal(await renderToString(vue.createSSRApp(app)), "<p>55 55</p>");
  const own = new KinopioHub({ servers: [server.ws], autoConnect: false });
  const states = [];
  const state = vue.reactive({ own });
  vue.effect(() => states.push(state.own.state));
  await own.connect();
  await until(() => states.at(-1) === "connected", String(states));
  await own.dispose();
  assert.equal(states.at(-1), "disconnected");
});

test("a message, a subscription and a service in Vue's data are what they were", async () => {
  const data = vue.reactive({ message: null, subscription: null, service: null });
  data.subscription = await hub.kept.news.sub((_, message) => (data.message = message));
  data.service = await hub.kept.fn.serve(() => 1);
  await hub.kept.news.pub({ a: 1 });
  await until(() => data.message !== null);
  assert.deepEqual(data.message.data, { a: 1 });
  assert.equal(data.message.subject, "kept.news");
  await data.subscription.drain();
  data.service.unsubscribe();
  await data.service.closed;
});

test("MobX keeps a variable as it is, and follows it by an atom of watch", async () => {
  const store = mobx.observable({ battery: hub.mobx.battery, hub });
  assert.equal(store.battery, hub.mobx.battery);
  assert.equal(store.hub, hub);
  const level = mobx.observable.box(null, { deep: false });
  const stop = store.battery.watch((value) => mobx.runInAction(() => level.set(value)));
  const seen = [];
  const end = mobx.autorun(() => seen.push(level.get()));
  await store.battery.pub(7);
  assert.deepEqual(seen, [null, 7]);
  stop();
  end();
});

test("a variable is a store of Svelte, and a snapshot of React", async () => {
  const { get, derived } = await import(load.resolve("svelte/store"));
  const { battery } = hub.svelte;
  const seen = [];
  const stop = derived(battery, (level) => (level === null ? "?" : `${level} %`)).subscribe((text) => seen.push(text));
  await battery.pub(3);
  assert.deepEqual(seen, ["?", "3 %"]);
  assert.equal(get(battery), 3);
  stop();
  // useSyncExternalStore(battery.watch, () => battery.value)
  await battery.pub({ n: 1 });
  const { watch } = battery;
  let told = 0;
  const end = watch(() => told++);
  assert.equal(battery.value, battery.value);
  end();
  assert.equal(told, 1);
});

test("Jest's matchers compare variables by what they are", () => {
  expect(hub.jest.a).toEqual(hub.jest.a);
  expect(hub.jest.a).not.toEqual(hub.jest.b);
  expect(hub.jest.a).not.toStrictEqual({ subject: "jest.a" });
  expect(hub).toEqual(hub);
  expect(hub.jest).toMatchObject({ name: "jest" });
});

test("names that cannot be scopes or variables by property are listed, and said where one is assigned to", async () => {
  const docs = readFileSync(new URL("../../docs/frameworks.md", import.meta.url), "utf8");
  const listed = docs.slice(docs.indexOf("Some names are never"), docs.indexOf("## One hub a page"));
  const lists = (name) => assert.ok(listed.includes(`\`${name}\``), `docs/frameworks.md does not list ${name}`);
  for (const [object, by, what] of [[hub, "getScope", "hub"], [hub.robot, "getVariable", "robot"]]) {
    const own = new Set();
    for (let o = object; o; o = Object.getPrototypeOf(o)) for (const name of Object.getOwnPropertyNames(o)) own.add(name);
    assert.ok(own.has(by) && own.has("toString"));
    for (const name of own) {
      if (name.startsWith("__")) continue; // all of these are
      lists(name);
      if (["constructor", "toJSON"].includes(name)) continue; // others mark objects by them
      assert.throws(() => (object[name] = 5), (e) => e.code === "INVALID_NAME" && e.message.includes(`cannot assign to ${what}.${name}`) && e.message.includes(`${by}("${name}")`), name);
    }
  }
  assert.equal(hub.robot.getVariable("name").subject, "robot.name");
  assert.throws(() => (hub.robot.battery.subject = "another"), TypeError);
  assert.equal(hub.robot.battery.subject, "robot.battery");
});

test("a variable is an observable", async () => {
  const { from, map } = createRequire(`${root}tools/package.json`)("rxjs");
  const { level } = hub.observable;
  const seen = [];
  const subscription = from(level).pipe(map((value) => value ?? "none")).subscribe((value) => seen.push(value));
  const direct = level.subscribe({ next: (value) => seen.push(`direct ${value}`) });
  level.subscribe({})(); // one that wants nothing
  await hub.flush();
  await level.pub(7);
  await until(() => seen.length === 4);
  subscription.unsubscribe();
  direct.unsubscribe();
  await level.pub(8);
  await hub.flush();
  assert.deepEqual(seen, ["none", "direct null", 7, "direct 7"]);
});

test("what frameworks and libraries mark objects with is nothing of a hub's, scope's or variable's", () => {
  // Alpine, lit, Angular, React, Vue, Preact, Immutable, Jest, moment
  for (const mark of ["_x_interceptor", "_x_dataStack", "_$litType$", "_$litDirective$", "ɵcmp", "ɵfac", "$$typeof", "__v_isRef", "__ngContext__", "__k", "@@__IMMUTABLE_ITERABLE__@@", "_isMockFunction", "_isAMomentObject"]) {
    for (const object of [hub, hub.marks, hub.marks.v]) assert.equal(object[mark], undefined, mark);
  }
});
