import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";

// What a page downloads may not grow unnoticed. Who must add to it writes the new bound, and why, into
// size-budget.json; docs/size.md says what the bytes are.
const { files } = JSON.parse(readFileSync(new URL("../size-budget.json", import.meta.url), "utf8"));

for (const [name, budget] of Object.entries(files)) {
  test(`${name} is no larger than its budget`, () => {
    const bytes = readFileSync(new URL(`../dist/${name}`, import.meta.url));
    const sizes = {
      raw: bytes.length,
      gzip: gzipSync(bytes, { level: 9 }).length,
      brotli: brotliCompressSync(bytes, {
        params: {
          [constants.BROTLI_PARAM_QUALITY]: 11,
          [constants.BROTLI_PARAM_LGWIN]: 24,
          [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
        },
      }).length,
    };
    for (const [kind, most] of Object.entries(budget)) {
      assert.ok(sizes[kind] <= most, `${kind}: ${sizes[kind]} bytes, the budget is ${most}`);
      assert.ok(sizes[kind] > most * 0.8, `${kind}: ${sizes[kind]} bytes: write the gain into size-budget.json, which says ${most}`);
    }
  });
}

// The names of functions and types stand in the module, those of packages that it uses a little of, too.
test("the module has neither a JSON nor a logger of its own", () => {
  const module = readFileSync(new URL("../dist/kinopio-hub.wasm", import.meta.url));
  assert.ok(module.includes("/internal/plainjson."), "the names are not where they are looked for");
  for (const name of ["encoding/json.Unmarshal", "encoding/json.(*encodeState).reflectValue", "log/slog."]) assert.ok(!module.includes(name), name);
});
