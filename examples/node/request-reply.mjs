// A request resolves with the answer, or rejects with a code that says why there is none.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const hub = new KinopioHub({ servers });
const double = hub.math.double;
await double.serve((n) => n * 2);
console.log("answer", await double.req(21));

const refuse = await hub.math.nobody.req(1).catch((error) => error.code);
console.log("nobody there", refuse);

await hub.math.slow.serve(() => new Promise((resolve) => setTimeout(resolve, 10_000)));
console.log("too slow", await hub.math.slow.req(1, { timeout: 200 }).catch((error) => error.code));
await hub.dispose();
