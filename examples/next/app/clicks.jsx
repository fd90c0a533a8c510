"use client";
import KinopioHub from "kinopio-hub";
import { useEffect, useState } from "react";

// The import is harmless where the page is rendered on the server; the hub is made in the browser.
export function Clicks() {
  const [variable, setVariable] = useState(null);
  const [clicks, setClicks] = useState(0);
  useEffect(() => {
    const server = new URLSearchParams(location.search).get("server") ?? "wss://demo.nats.io:8443";
    const hub = new KinopioHub({ servers: [server] });
    hub.room.clicks.watch((n) => setClicks(n ?? 0));
    setVariable(hub.room.clicks);
    return () => void hub.dispose();
  }, []);
  return (
    <button id="click" disabled={!variable} onClick={() => variable.pub(clicks + 1)}>
      {`clicked ${clicks} times`}
    </button>
  );
}
