// A leaf of this machine: a small NATS server for the LAN, bridged to a backbone if there is one.
import KinopioHub from "kinopio-hub";
import { startLeafNode } from "kinopio-hub/leaf";

const leaf = await startLeafNode({ discoveryNamespace: "studio", webSocketTls: false });
console.log("phase", leaf.status().phase);
console.log("manifest", (await (await fetch(leaf.discoveryUrl)).json()).discoveryNamespace);

const hub = new KinopioHub({ servers: [leaf.websocketUrl] });
await hub.math.double.serve((n) => n * 2);
console.log("answer", await hub.math.double.req(21));
await hub.dispose();
await leaf.stop();
console.log("phase", leaf.status().phase);
