// Keeps exactly one leaf alive on the LAN, on whichever of its devices is nearest to the backbone.
import { enableAutoLeaf } from "kinopio-hub/leaf";

const node = await enableAutoLeaf({ discoveryNamespace: "studio", leaderMissingGraceMs: 10_000 });
while (node.role() !== "leader" && node.role() !== "follower") await new Promise((resolve) => setTimeout(resolve, 50));
console.log("role", node.role());
console.log("leader known", node.currentLeader() !== null);
await node.stop();
console.log("state", node.state());
