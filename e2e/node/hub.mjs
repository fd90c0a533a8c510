// A hub of the package in a Node process, driven by JSON lines.
// Usage: node hub.mjs NPM_FOLDER SERVER_URL
import { createInterface } from "node:readline";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { party } from "./party.mjs";

const [folder, server] = process.argv.slice(2);
const { KinopioHub } = await import(pathToFileURL(join(resolve(folder), "dist/index.mjs")).href);

const say = (line) => process.stdout.write(JSON.stringify(line) + "\n");
const encode = (text) => Buffer.from(String(text ?? "")).toString("base64");

const hub = new KinopioHub({ servers: [server] });
await hub.connected();
const actions = party(hub, (shown) => say({ event: "message", data: encode(shown) }));
say({ event: "connected" });

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  try {
    const code = Buffer.from(command.data ?? "", "base64").toString();
    const answer = await actions[command.do]({ subject: command.subject, code });
    say({ event: "done", id: command.id, data: encode(typeof answer === "string" ? answer : "") });
  } catch (error) {
    say({ event: "done", id: command.id, error: String(error?.message ?? error) });
  }
}
await hub.dispose();
