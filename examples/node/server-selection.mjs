// Which of several servers a hub is on: the first, any, or the nearest.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const all = ["ws://127.0.0.1:1", ...servers]; // nobody is at the first one
for (const serverSelectionMode of ["ordered", "random", "latency"]) {
  const hub = new KinopioHub({ servers: all, serverSelectionMode });
  hub.onMove((move) => console.log(serverSelectionMode, "came to a live server", servers.includes(move.to)));
  await hub.connected();
  await hub.dispose();
}
