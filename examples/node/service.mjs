// A service: what a handler throws rejects the request; instances share the requests.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const provider = new KinopioHub({ servers });
const customer = new KinopioHub({ servers });

let count = 0;
const service = await provider.shop.counter.serve(async ({ action }) => {
  if (action === "increment") return { value: ++count };
  throw new Error(`there is no action ${action}`);
});
console.log("first", await customer.shop.counter.req({ action: "increment" }));
console.log("second", await customer.shop.counter.req({ action: "increment" }));
await customer.shop.counter.req({ action: "explode" }).catch((error) => console.log(error.code, error.message));

service.unsubscribe();
await service.closed; // every request that it took is answered
await Promise.all([provider.dispose(), customer.dispose()]);
