// A page with React, without JSX: any bundler takes it as it is.
import { createElement, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { hub } from "./hub.mjs";
import { useVariable } from "./use-variable.mjs";

function Clicks() {
  const [clicks, setClicks] = useVariable(hub.room.clicks);
  return createElement("button", { id: "click", onClick: () => setClicks((clicks ?? 0) + 1) }, `clicked ${clicks ?? 0} times`);
}

createRoot(document.body.appendChild(document.createElement("main"))).render(createElement(StrictMode, null, createElement(Clicks)));
