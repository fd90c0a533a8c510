import { createSignal, from, onCleanup, Show } from "solid-js";
import html from "solid-js/html";
import { render } from "solid-js/web";
import { hub } from "../hub.mjs";

const { battery } = hub.robot;

function Robot() {
  const level = from(battery);
  return html`<p id="level">${() => level() ?? "none"}</p>
    <button id="click" onClick=${() => battery.pub(level() + 1)}>more</button>`;
}

function App() {
  const [shown, setShown] = createSignal(true);
  const [state, setState] = createSignal(hub.state);
  onCleanup(hub.onStateChange(setState));
  return html`<p id="state">${state}</p>
    <button id="toggle" onClick=${() => setShown(!shown())}>show or hide</button>
    <${Show} when=${shown}>${() => html`<${Robot} />`}<//>`;
}

render(App, document.querySelector("main"));
