// A variable: who subscribes hears every message, and who comes later asks for the last value.
import KinopioHub, { KINOPIO_STATE_EVENT } from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const hub = new KinopioHub({ servers });
hub.on(KINOPIO_STATE_EVENT, (state) => console.log("state", state));
await hub.connected();

const battery = hub.getScope("robot").getVariable("battery");
const heard = new Promise((resolve) => battery.sub((level) => resolve(level)).then(() => battery.pub({ level: 87 })));
console.log("heard", await heard);
console.log("value", battery.value);
await hub.dispose();
