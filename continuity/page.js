// The subject in a page: as native.go. Go calls the functions through answer().
"use strict";

async function answer(f, args) {
  try {
    return JSON.stringify({ value: (await f(...args)) ?? true });
  } catch (e) {
    return JSON.stringify({ error: `${e.code ?? e.name}: ${e.message}` });
  }
}

// Stream is ledger.Stream, and tried with the same cases.
class Stream {
  messages = 0; lost = 0; repeated = 0; reordered = 0;
  #next = 0; #sames = 0; #surplus = 0; #deficit = 0; #missing = new Set();

  take(value) {
    this.messages++;
    if (value === "same") this.#sames++;
    else if (!Number.isInteger(value)) this.repeated++; // nobody has published it
    else if (value >= this.#next) {
      this.#skipTo(value);
      this.#next = value + 1;
      this.#sames = 0;
    } else if (this.#missing.delete(value)) {
      this.lost--;
      this.reordered++;
    } else this.repeated++;
  }

  has(pairs) {
    return this.#next > pairs || (this.#next === pairs && (pairs === 0 || this.#sames > 0));
  }

  end(pairs) {
    if (this.#next > pairs) return;
    this.#skipTo(pairs);
    this.#next = pairs;
    this.#sames = pairs === 0 ? 0 : 1;
  }

  #skipTo(n) {
    for (let k = this.#next; k < n; k++) {
      this.#missing.add(k);
      this.lost++;
    }
    const less = n - this.#next + (this.#next > 0 ? 1 : 0) - this.#sames;
    if (less > 0) {
      const swapped = Math.min(less, this.#surplus);
      this.repeated -= swapped;
      this.reordered += swapped;
      this.lost += less - swapped;
      [this.#surplus, this.#deficit] = [0, less - swapped];
    } else if (less < 0) {
      const swapped = Math.min(-less, this.#deficit);
      this.lost -= swapped;
      this.reordered += swapped;
      this.repeated += -less - swapped;
      [this.#surplus, this.#deficit] = [-less - swapped, 0];
    } else [this.#surplus, this.#deficit] = [0, 0];
  }
}

let setup, hub, timer;
const streams = new Map(), events = [], waiters = new Set();
const calls = { messages: 0, lost: 0, repeated: 0, reordered: 0 }, seen = new Map();
let sent = 0, open = 0, failed = 0, why = "", last = 0, gap = 0;

function step() {
  const now = performance.now();
  if (last) gap = Math.max(gap, now - last);
  last = now;
}

function fail(e) {
  failed++;
  why ||= `${e.code}: ${e.message}`;
}

function called(caller, n) {
  step();
  calls.messages++;
  if (!seen.has(caller)) seen.set(caller, { numbers: new Set(), highest: -1 });
  const it = seen.get(caller);
  if (it.numbers.has(n)) calls.repeated++;
  else if (n < it.highest) calls.reordered++;
  it.numbers.add(n);
  it.highest = Math.max(it.highest, n);
}

function stream(name) {
  if (!streams.has(name)) streams.set(name, new Stream());
  return streams.get(name);
}

async function begin(s) {
  setup = s;
  const options = {
    servers: s.servers, serverSelectionMode: s.latency ? "latency" : "ordered", reconnectTimeWait: 10, retryDelay: 10, standby: s.standby,
    timeout: s.timeout,
  };
  if (s.manifest) options.discovery = { enabled: true, manifestUrl: s.manifest, cacheTtlMs: s.probeEvery, localSwitchTimeoutMs: s.timeout };
  hub = new KinopioHub(options);
  hub.onMove((m) => {
    events.push({ from: m.from, to: m.to, reason: m.reason, planned: m.planned, tookMs: m.tookMs, heldMs: m.heldMs, tripMs: m.tripMs, error: m.error ? m.error.message : "" });
    for (const wake of waiters) wake();
  });
  hub.onError((e) => (why ||= `${e.code}: ${e.message}`));
  await hub.connected(30000);
  const scope = hub.getScope("c");
  if (s.role === "subscriber") {
    for (let i = 0; i < s.subjects; i++) {
      await scope.getVariable(`${i}.*`).sub((value, message) => {
        step();
        stream(message.subject).take(value);
      });
    }
  }
  if (s.role === "service") {
    await hub.getScope("q").getVariable("serve").serve((question) => {
      const [caller, n] = question.split(":");
      called(caller, Number(n));
      return question;
    });
  }
  await hub.flush();
}

function work() {
  const start = performance.now();
  const tick = (perSecond, each) => {
    timer = setInterval(() => {
      for (const due = ((performance.now() - start) / 1000) * perSecond; sent < due; sent++) each(sent);
    }, 4);
  };
  if (setup.role === "publisher") {
    const variables = Array.from({ length: setup.subjects }, (_, i) => hub.getScope("c").getVariable(`${i}.moving`));
    tick(setup.rate / 2, (pair) => {
      const variable = variables[pair % setup.subjects];
      variable.pub(String(Math.floor(pair / setup.subjects))).catch(fail);
      variable.pub("same").catch(fail);
    });
  }
  if (setup.role === "requester") {
    const variable = hub.getScope("q").getVariable("serve");
    tick(setup.rate, (n) => {
      open++;
      const question = `moving:${n}`;
      variable.req(question).then((a) => {
        const answer = a?.data ?? a;
        if (answer === question) called("moving", n);
        else fail({ code: "WRONG", message: `the answer to ${question} is ${JSON.stringify(answer)}` });
      }, fail).finally(() => open--);
    });
  }
}

async function stop(ms) {
  clearInterval(timer);
  await until(() => open === 0, ms, "the last answers");
  await hub.flush(ms);
}

async function until(ok, ms, what) {
  for (const end = performance.now() + ms; !ok(); ) {
    if (performance.now() > end) throw new Error(`waited ${ms} ms for ${what}`);
    await new Promise((done) => setTimeout(done, 4));
  }
}

async function nextEvent(n, ms) {
  const end = performance.now() + ms;
  while (events.length <= n) {
    if (performance.now() > end) throw new Error(`no change of server; the hub is ${JSON.stringify(hub.status)}, discovery ${JSON.stringify(hub.discoveryStatus)}`);
    await new Promise((done) => {
      waiters.add(done);
      setTimeout(done, 1000);
    });
    waiters.clear();
  }
  return events[n];
}

const reconnect = (ms) => hub.reconnect(ms);

const mark = () => void (gap = 0);

function report() {
  const counts = { ...calls };
  if (setup.role === "subscriber") {
    for (const s of streams.values()) for (const key of Object.keys(counts)) counts[key] += s[key];
  }
  const pairs = {};
  if (setup.role === "publisher") {
    for (let i = 0; i < setup.subjects; i++) pairs[`c.${i}.moving`] = Math.floor((sent + setup.subjects - 1 - i) / setup.subjects);
  }
  return { counts, sent: pairs, asked: setup.role === "requester" ? sent : 0, failed, why, missing: hub.status.missing, gapMs: gap };
}

async function end(pairs, patience) {
  let before = -1, since = performance.now();
  for (;;) {
    const all = Object.keys(pairs).map(stream);
    const messages = all.reduce((sum, s) => sum + s.messages, 0);
    if (messages !== before) [before, since] = [messages, performance.now()];
    if (Object.entries(pairs).every(([name, n]) => stream(name).has(n)) || performance.now() - since > patience) break;
    await new Promise((done) => setTimeout(done, 4));
  }
  for (const [name, n] of Object.entries(pairs)) stream(name).end(n);
}

// tried plays a stream to a counter, for the test of it.
function tried(words, pairs) {
  const s = new Stream();
  for (const word of words) s.take(word === "=" ? "same" : Number(word));
  s.end(pairs);
  return { lost: s.lost, repeated: s.repeated, reordered: s.reordered };
}
