// Hubs of the package in one Node process that set values, driven by JSON lines.
// Usage: node kept.mjs NPM_FOLDER SERVER_URL,SERVER_URL…
import { createInterface } from "node:readline";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, servers] = process.argv.slice(2);
const { KinopioHub } = await import(pathToFileURL(join(resolve(folder), "dist/index.mjs")).href);

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const hubs = servers.split(",").map((server) => new KinopioHub({ servers: [server] }));
await Promise.all(hubs.map((hub) => hub.connected()));
say({ event: "connected" });

const at = (hub, subject) => {
  const [scope, name] = subject.split(".");
  return hubs[hub].getScope(scope).getVariable(name);
};

const actions = {
  /** Knows subjects at all hubs. */
  follow: ({ subjects }) => Promise.all(hubs.flatMap((_, hub) => subjects.map((subject) => at(hub, subject).ready(60_000)))),
  set: ({ hub, subject, value }) => at(hub, subject).set(value),
  delete: ({ hub, subject }) => at(hub, subject).delete(),
  /** What each hub knows of subjects: value and version. */
  state: ({ subjects }) =>
    hubs.map((_, hub) =>
      subjects.map((subject) => {
        const { value, meta } = at(hub, subject);
        return `${JSON.stringify(value)} ${meta.exists} ${meta.version}.${meta.writer} ${meta.pending}`;
      }),
    ),
};

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    const answer = await actions[command.do](JSON.parse(Buffer.from(command.data ?? "", "base64").toString()));
    say({ event: "done", id: command.id, data: Buffer.from(JSON.stringify(answer ?? null)).toString("base64") });
  } catch (error) {
    say({ event: "done", id: command.id, error: String(error?.stack ?? error) });
  }
}
await Promise.all(hubs.map((hub) => hub.dispose()));
