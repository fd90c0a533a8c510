// Scopes group variables, and nest; a property is the same as getScope and getVariable.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const hub = new KinopioHub({ servers });
const robot = hub.getScope("robot");
console.log("same variable", hub.robot.battery === robot.getVariable("battery"));
console.log("nested", robot.getScope("arm").getVariable("angle").subject);

// A wildcard hears all variables of a scope.
const all = await hub.getScope("robot").getVariable("*").sub();
await robot.battery.pub(87);
await robot.speed.pub(1.5);
let left = 2;
for await (const message of all) {
  console.log(message.subject, message.data);
  if (--left === 0) break;
}
await hub.dispose();
