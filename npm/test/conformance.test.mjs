// The conformance suite in Node; see conformance/README.md.
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { KinopioHub } from "../dist/index.mjs";
import { isOurs, play, playSelfCheck } from "../../conformance/js/run.mjs";

const folder = new URL("../../conformance/", import.meta.url);
const read = (name) => JSON.parse(readFileSync(new URL(name, folder), "utf8"));
const platform = { KinopioHub, scheme: "ws", vectors: read("vectors.json") };

let labProcess;
before(async () => {
  labProcess = spawn("go", ["run", "./conformance/lab/labserver"], { cwd: fileURLToPath(new URL("..", folder)), stdio: ["pipe", "pipe", "inherit"] });
  for await (const line of createInterface({ input: labProcess.stdout })) {
    platform.lab = line;
    return;
  }
  throw new Error("the lab has not started");
});
after(async () => {
  const ended = new Promise((resolve) => labProcess.once("close", resolve));
  labProcess.stdin.end();
  await ended;
});

for (const file of readdirSync(new URL("scenarios/", folder))) {
  describe(`conformance: ${file.replace(".json", "")}`, () => {
    for (const scenario of read(`scenarios/${file}`).scenarios.filter(isOurs)) {
      test(scenario.name, () => play(platform, scenario));
    }
  });
}

describe("conformance: wrong expectations fail", () => {
  for (const scenario of read("selfcheck.json").scenarios) {
    test(scenario.name, () => playSelfCheck(platform, scenario));
  }
});
