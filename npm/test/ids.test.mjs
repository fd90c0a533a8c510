// Ids have 32 bits on both sides of the module: they go round.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { transformSync } from "esbuild";

const { code } = transformSync(readFileSync(new URL("../src/ids.ts", import.meta.url), "utf8"), { loader: "ts" });
const { Ids } = await import(`data:text/javascript,${encodeURIComponent(code)}`);

test("ids go round after 32 bits, without 0 and without those in use", () => {
  const used = new Set([1, 2, 4]);
  const ids = new Ids((id) => used.has(id), 0xfffffffd);
  const given = Array.from({ length: 5 }, () => ids.next());
  assert.deepEqual(given, [0xfffffffe, 0xffffffff, 3, 5, 6]);
  assert.ok(given.every((id) => id >>> 0 === id));
});
