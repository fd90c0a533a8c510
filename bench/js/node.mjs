// Node's end: a line of JSON asks for one measurement, a line answers.
import { createInterface } from "node:readline";
const [, , works, kinopio, nats, ws] = process.argv;
const { measure } = await import(works);
const host = { kinopio: await import(kinopio), nats: await import(nats), ws };
for await (const line of createInterface({ input: process.stdin })) {
  const { side, work, options } = JSON.parse(line);
  let answer;
  try {
    globalThis.gc?.();
    const before = process.cpuUsage();
    const value = await measure(host, side, work, options);
    const { user, system } = process.cpuUsage(before);
    answer = { value: [value].flat(), cpu: user + system };
  } catch (error) {
    answer = { error: String(error?.stack ?? error) };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
process.exit(0);
