// A plain NATS client in Node, driven by JSON lines: what the interop test says, it does.
// Usage: node peer.mjs NPM_FOLDER SERVER_URL
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { join, resolve } from "node:path";

const [folder, server] = process.argv.slice(2);
const { connect, headers } = createRequire(join(resolve(folder), "package.json"))("@nats-io/transport-node");

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const encode = (data) => Buffer.from(data).toString("base64");
const decode = (text) => Buffer.from(text ?? "", "base64");
const plain = (h) => Object.fromEntries([...(h ?? [])].map(([name, values]) => [name, values[0]]));
const build = (entries) => {
  if (!entries) return undefined;
  const h = headers();
  for (const [name, value] of Object.entries(entries)) h.set(name, value);
  return h;
};

const nc = await connect({ servers: server });
say({ event: "connected" });

const actions = {
  async publish({ subject, data }) {
    nc.publish(subject, decode(data));
    await nc.flush();
  },
  async subscribe({ subject }) {
    nc.subscribe(subject, {
      callback: (_, m) => say({ event: "message", subject, data: encode(m.data), headers: plain(m.headers) }),
    });
    await nc.flush();
  },
  async serve({ subject, data, headers: entries }) {
    nc.subscribe(subject, {
      callback: (_, m) => {
        say({ event: "message", subject, data: encode(m.data), headers: plain(m.headers) });
        m.respond(decode(data), { headers: build(entries) });
      },
    });
    await nc.flush();
  },
  async request({ subject, data }) {
    const m = await nc.request(subject, decode(data), { timeout: 5000 });
    return { data: encode(m.data), headers: plain(m.headers) };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    say({ event: "done", id: command.id, ...(await actions[command.do](command)) });
  } catch (error) {
    say({ event: "done", id: command.id, error: String(error?.message ?? error) });
  }
}
await nc.close();
