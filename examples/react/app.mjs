// A page with React, without JSX: any bundler takes it as it is.
import KinopioHub from "kinopio-hub";
import { createElement } from "react";
import { createRoot } from "react-dom/client";
import { useVariable } from "./use-variable.mjs";

const server = new URLSearchParams(location.search).get("server") ?? "wss://demo.nats.io:8443";
const hub = new KinopioHub({ servers: [server] });

function Clicks() {
  const [clicks, setClicks] = useVariable(hub.room.clicks);
  return createElement("button", { id: "click", onClick: () => setClicks((clicks ?? 0) + 1) }, `clicked ${clicks ?? 0} times`);
}

createRoot(document.body.appendChild(document.createElement("main"))).render(createElement(Clicks));
