// The leaf as the demo's server knows it: its state, and the buttons that start and end it.
import { config } from "./config.js";

const notes = {
  starting: "The leaf is starting.",
  stopping: "The leaf has told its clients to go.",
};

function note(leaf) {
  if (leaf.state !== "stopped") return notes[leaf.state] ?? "";
  if (leaf.how === "killed") return "The leaf is gone without a word.";
  if (leaf.how === "ended") return `The leaf ended by itself: ${leaf.detail}`;
  return "No leaf is running.";
}

/** Presses one of the leaf's buttons: "start", "stop" or "kill". */
export async function press(action) {
  const answer = await fetch(`/leaf/${action}`, { method: "POST", headers: { "X-Demo-Token": config.token } });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
}

/** Tells the demo's terminal of a move of this page. */
export function report(move) {
  const body = JSON.stringify({ ...move, error: move.error ? String(move.error.message ?? move.error) : "" });
  // The terminal is only an onlooker: the page goes on without it.
  fetch("/report", { method: "POST", headers: { "X-Demo-Token": config.token }, body }).catch(() => {});
}

/** Follows the leaf's state and calls changed(leaf) with each; wires the buttons. */
export function followLeaf(changed) {
  let state = "stopped";
  const buttons = { start: ["stopped"], stop: ["running", "starting"], kill: ["running", "starting", "stopping"] };
  const text = document.getElementById("leaf-note");
  const show = (leaf) => {
    state = leaf.state;
    for (const [id, when] of Object.entries(buttons)) {
      document.getElementById(id).setAttribute("aria-disabled", String(!when.includes(state)));
    }
    text.textContent = note(leaf) || "\u00a0";
    changed(leaf);
  };
  for (const [id, when] of Object.entries(buttons)) {
    document.getElementById(id).addEventListener("click", () => {
      if (when.includes(state)) press(id).catch((error) => (text.textContent = `That did not work: ${error.message}`));
    });
  }
  show({ state: "stopped", how: "stopped" });

  const events = new EventSource("/events");
  events.addEventListener("run", (e) => {
    if (JSON.parse(e.data) !== config.run) location.reload(); // the demo was started again
  });
  events.addEventListener("demo", (e) => {
    const event = JSON.parse(e.data);
    if (event.leaf) show(event.leaf);
  });
  events.addEventListener("error", () => (text.textContent = "The demo has ended: start it again with kinopio-hub demo."));
  events.addEventListener("open", () => (text.textContent = "\u00a0"));
}
