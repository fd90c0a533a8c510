// The life of a connection: begun by hand, made anew, ended.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const hub = new KinopioHub({ servers, autoConnect: false });
const stop = hub.onStateChange((state) => console.log("state", state));
console.log("at first", hub.state);
await hub.connect();
console.log("server", servers.includes(hub.status.server));
stop();

await hub.robot.battery.sub((level) => console.log("battery", level));
await hub.reconnect(); // what was subscribed stays so
await hub.robot.battery.pub(87);
await hub.flush(); // the server has it
while (hub.robot.battery.value !== 87) await new Promise((resolve) => setTimeout(resolve, 10));

await hub.dispose();
console.log("in the end", await hub.robot.battery.pub(1).catch((error) => error.code));
