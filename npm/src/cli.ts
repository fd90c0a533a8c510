#!/usr/bin/env node
// The command kinopio-hub of this package: runs the native program, which ends with this process.
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { messageOf } from "./errors.js";
import { findBinary } from "./leaf-binary.js";

const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Whether the program takes the end of its standard input for the end of its parent. */
function watchesParent(args: string[]): boolean {
  const words = args.filter((arg) => !arg.startsWith("-"));
  return words[0] === "leaf" && (words[1] === "start" || words[1] === "auto") && !args.includes("--help") && !args.includes("-h");
}

function main(args: string[]): void {
  let program: string;
  try {
    program = findBinary("run kinopio-hub");
  } catch (error) {
    console.error(`error: ${messageOf(error)}`);
    process.exitCode = 1;
    return;
  }
  const pipe = watchesParent(args);
  // A pipe ends with this process even when it is killed; signals do not reach a child then.
  const child = spawn(program, pipe ? [...args, "--parent-pipe"] : args, { stdio: [pipe ? "pipe" : "inherit", "inherit", "inherit"] });
  child.stdin?.on("error", () => {}); // it may end first
  let asked = false;
  for (const signal of signals) {
    process.on(signal, () => {
      const first = !asked;
      asked = true;
      if (first && pipe) {
        // A terminal has sent Ctrl-C to the program, too, for which a second signal would mean haste.
        child.stdin!.end();
      } else if (signal !== "SIGINT" || !process.stdin.isTTY) {
        child.kill(signal);
      }
    });
  }
  child.once("error", (error) => {
    console.error(`error: run ${program}: ${error.message}`);
    process.exitCode = 1;
  });
  child.once("close", (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal!] ?? 0);
    for (const name of signals) process.removeAllListeners(name);
  });
}

main(process.argv.slice(2));
