import { StrictMode, useState, useSyncExternalStore } from "react";
import { createRoot } from "react-dom/client";
import { hub } from "../hub.mjs";

const { battery } = hub.robot;

function Robot() {
  const level = useSyncExternalStore(battery.watch, () => battery.value, () => null);
  return (
    <>
      <p id="level">{level ?? "none"}</p>
      <button id="click" onClick={() => battery.pub(level + 1)}>more</button>
    </>
  );
}

function App() {
  const [shown, setShown] = useState(true);
  const state = useSyncExternalStore(hub.onStateChange, () => hub.state, () => "");
  return (
    <>
      <p id="state">{state}</p>
      <button id="toggle" onClick={() => setShown(!shown)}>show or hide</button>
      {shown && <Robot />}
    </>
  );
}

createRoot(document.querySelector("main")).render(<StrictMode><App /></StrictMode>);
