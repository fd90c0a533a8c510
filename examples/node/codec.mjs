// Other bytes than JSON: a codec, or only what JSON.stringify and JSON.parse are given.
import KinopioHub from "kinopio-hub";

const servers = (process.env.KINOPIO_SERVERS ?? "wss://demo.nats.io:8443").split(",");
const dates = {
  jsonReplacer(key, value) {
    return this[key] instanceof Date ? { date: this[key].getTime() } : value;
  },
  jsonReviver: (_key, value) => (typeof value?.date === "number" ? new Date(value.date) : value),
};
const one = new KinopioHub({ servers, ...dates });
await one.log.echo.serve((entry) => entry);
const { at } = await one.log.echo.req({ at: new Date(0) });
console.log("a date", at.toISOString());

// Numbers as 8 bytes; strings, bytes and null never go through a codec.
const codec = {
  encode: (value) => new Uint8Array(Float64Array.of(value).buffer),
  decode: (bytes) => new Float64Array(bytes.slice().buffer)[0],
};
const two = new KinopioHub({ servers, codec });
await two.math.half.serve((n) => n / 2);
console.log("a number", await two.math.half.req(7));
await Promise.all([one.dispose(), two.dispose()]);
