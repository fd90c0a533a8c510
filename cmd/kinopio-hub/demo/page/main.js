// The demo page: one hub, and what can be seen of it.
import { config, discovery } from "./config.js";
import { StreamCounter, totals } from "./counter.js";
import { followSearch, sayGuest } from "./guest.js";
import { followLeaf, report } from "./leaf.js";
import { logMove, moves } from "./moves.js";
import { Plot } from "./plot.js";
import { errorText, ms, place, viaOf, why } from "./words.js";

const $ = (id) => document.getElementById(id);
const state = { hub: "connecting", server: "", reason: "", refused: "", broken: "", leaf: "stopped", search: null };

// For whoever looks at the page with a program: what it counts and what it knows.
window.demo = { hub: null, counters: totals, streams: {}, moves, state, errors: [] };

/** Shows where the session is, how it came there, and what stands in the way. */
function showPlace() {
  const via = state.broken || state.hub !== "connected" ? "" : viaOf(state.server);
  const body = document.body.dataset;
  body.via = via;
  body.state = state.broken ? "broken" : state.hub;
  body.leaf = state.leaf;
  set("state", state.broken ? "not working" : state.hub);
  set("map-leaf", state.leaf === "running" ? "on this LAN" : state.leaf);
  const [title, name, text] = sayPlace(via);
  const headline = $("headline");
  if (headline.textContent !== title + name) {
    const em = document.createElement("em");
    em.textContent = name;
    headline.replaceChildren(title, em);
  }
  set("server", via ? state.server : "\u00a0");
  set("why", text);
  set("map-text", via ? `The page is connected to the ${place(state.server)}; the leaf is ${state.leaf}.` : `The page is not connected; the leaf is ${state.leaf}.`);
}

/** The headline, the name in it that is lit up, and the sentence below. */
function sayPlace(via) {
  if (state.broken) return ["Not ", "working", state.broken];
  if (state.hub === "error") return ["Not ", "connected", state.broken || "The hub has given up."];
  if (state.hub !== "connected") return ["", "Connecting", "Whatever is sent now waits until there is a server."];
  if (config.guest) return ["On the ", place(state.server), sayGuest(via, state.search)];
  if (via === "leaf") return ["On the ", "leaf", `Chosen because ${state.reason || "it is on this network"}. The bridge behind it reaches the backbone.`];
  if (state.refused) {
    const trust = config.tls ? "Most likely this browser does not trust its certificate: see below." : state.refused;
    return ["On the ", "backbone", `The leaf was refused; the session stays here. ${trust}`];
  }
  if (state.leaf === "running") return ["On the ", "backbone", "The configured server. A leaf is running: looking for its manifest."];
  const soon = moves.length <= 1 && config.afterMs >= 0 ? "The leaf starts by itself in a moment." : "No leaf is running.";
  return ["On the ", "backbone", `The configured server: ${state.reason || "first connection"}. ${soon}`];
}

/** Writes text into an element only when it differs, so that nothing is announced twice. */
function set(id, text) {
  const element = $(id);
  if (element.textContent !== text) element.textContent = text;
}

/** Says on the page that the demo cannot work, and why. */
function broken(error) {
  state.broken = errorText(error);
  demo.errors.push(state.broken);
  showPlace();
}

/** Puts the counters into the page four times a second, and the rate of the last second. */
function showCounters() {
  const seen = []; // [time, messages received], a second of them
  setInterval(() => {
    for (const id of ["lost", "repeated", "disordered"]) {
      set(id, String(totals[id]));
      $(id).classList.toggle("some", totals[id] !== 0);
    }
    const now = performance.now();
    seen.push([now, totals.received]);
    while (seen.length > 2 && now - seen[0][0] > 1100) seen.shift();
    const [time, received] = seen[0];
    if (now > time) set("rate", String(Math.round(((totals.received - received) / (now - time)) * 1000)));
    if (state.hub !== "connected") set("rtt", "–");
  }, 250);
}

/** Measures, every second, how long it takes until the server has answered. */
function showRoundTrip(hub) {
  const last = []; // of five, the one in the middle is shown
  setInterval(async () => {
    const begin = performance.now();
    try {
      await hub.flush();
    } catch {
      return; // there is no server to answer just now; the state says so
    }
    last.push(performance.now() - begin);
    if (last.length > 5) last.shift();
    set("rtt", ms(last.toSorted((a, b) => a - b)[last.length >> 1]));
  }, 1000);
}

/** The button that calls the remote function. */
function wireCall(hub) {
  $("call").addEventListener("click", async () => {
    const begin = performance.now();
    try {
      const answer = await hub.demo.greet.req("page");
      const took = performance.now() - begin;
      set("answer", `“${answer.text}”`);
      set("answer-from", `${ms(took)} ms there and back, from a program on the ${place(answer.server)}, at ${new Date(answer.time).toLocaleTimeString([], { hour12: false })}`);
    } catch (error) {
      set("answer", "No answer.");
      set("answer-from", errorText(error));
    }
  });
}

/** The slider: whoever opens the page later has its value at once. */
function wireKept(hub) {
  const { level } = hub.demo;
  const slider = $("kept");
  level.onChange((value, exists) => {
    set("kept-value", exists ? String(value) : "not set");
    set("kept-note", exists ? "A second tab with this page shows it at once, and a change in either tab shows in both." : "Nobody who is here has set it yet.");
    if (exists) slider.value = value;
  });
  slider.addEventListener("input", () => level.set(Number(slider.value)));
}

/** Opens the hub and subscribes to everything that the page shows. */
function openHub() {
  const hub = new KinopioHub({
    servers: config.servers,
    serverSelectionMode: "ordered",
    discovery,
  });
  demo.hub = hub;
  hub.onStateChange((now) => {
    state.hub = now;
    showPlace();
  });
  hub.onMove((move) => {
    if (move.error) {
      state.refused = errorText(move.error);
    } else {
      Object.assign(state, { server: move.to, reason: why(move), refused: "" });
    }
    logMove(move);
    report(move);
    showPlace();
  });
  if (config.guest) {
    followSearch(hub, (search) => {
      state.search = search;
      state.leaf = search.state === "local" ? "running" : "looked for";
      showPlace();
    });
  }
  hub.onError?.((error) => demo.errors.push(errorText(error)));
  hub.connected().catch(broken);

  const plot = new Plot($("plot"));
  hub.demo.signal.sub((value) => {
    plot.add(value);
    set("signal-value", value.toFixed(2).replace("-", "−"));
  });
  for (const stream of ["backbone", "leaf"]) {
    const counter = (demo.streams[stream] = new StreamCounter());
    hub.getScope("numbers").getVariable(stream).sub((value) => counter.take(value));
  }
  wireCall(hub);
  wireKept(hub);
  showRoundTrip(hub);
}

// A browser does not say why it refuses a leaf, so the page concludes it from the time.
const leafIsSeenWithin = 2 * config.cacheTtlMs + 1500;
let watching;

/** Follows the leaf as the demo's server knows it. */
function watchLeaf(leaf) {
  if (leaf.state !== state.leaf) state.refused = "";
  state.leaf = leaf.state;
  clearTimeout(watching);
  if (leaf.state === "running" && viaOf(state.server) !== "leaf") {
    watching = setTimeout(() => {
      if (state.hub === "connected" && viaOf(state.server) !== "leaf" && !state.refused) {
        state.refused = "It runs, but this browser does not connect to it.";
        showPlace();
      }
    }, leafIsSeenWithin);
  }
  showPlace();
}

if (!config.guest) followLeaf(watchLeaf);
showCounters();
if (typeof KinopioHub === "undefined") {
  broken("kinopio-hub.global.js did not load. Build it with: make build");
} else {
  try {
    openHub();
  } catch (error) {
    broken(error);
  }
}
