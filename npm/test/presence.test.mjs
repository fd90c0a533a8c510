import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { source } from "./helpers.mjs";

// What Go's machine of presence has done, written down by internal/presence.
const { lives } = JSON.parse(readFileSync(new URL("../../conformance/presence.json", import.meta.url), "utf8"));
const { Machine } = await source("presence/machine.ts");

const given = (text) => text.replace(/\{x(\d+)\}/g, (_, n) => "x".repeat(n));
const shown = (text) => text.replace(/x{20,}/g, (x) => `{x${x.length}}`);

/** How each method is called with what is written down, and what of its result is. */
const methods = {
  effects: (m) => m.effects().map(({ kind, id, data }) => [kind, id, shown(data)]),
  next: (m) => m.next(),
  members: (m) => m.all().map(({ id, data }) => [id, shown(data)]),
  join: (m, now, data) => m.join(now, given(data)),
  leave: (m, now) => m.leave(now),
  watch: (m, now) => m.watch(now),
  unwatch: (m) => m.unwatch(),
  linked: (m, now) => m.linked(now),
  unlinked: (m) => m.unlinked(),
  tick: (m, now) => m.tick(now),
  heard: (m, now, text) => m.heard(now, given(text)),
  heardRoll: (m, now, text) => m.heardRoll(now, given(text)),
  listed: (m, now, text) => m.listed(now, given(text)),
  unanswered: (m) => m.unanswered(),
  asked: (m) => m.asked().map(shown),
  knows: (m) => m.knows,
};

for (const { name, id, steps } of lives) {
  test(`a machine lives as Go's did: ${name}`, () => {
    let drawn = [];
    const machine = new Machine(id, (below) => {
      const [bound, value] = drawn.shift() ?? [];
      assert.equal(below, bound, "what is drawn");
      return value;
    });
    assert.ok(steps.length > 0);
    steps.forEach(([method, args, draws, result], i) => {
      const where = `step ${i + 1}: ${method} ${JSON.stringify(args)}`;
      drawn = [...draws];
      assert.deepEqual(methods[method](machine, ...args) ?? null, result, where);
      assert.equal(drawn.length, 0, `${where}: ${drawn.length} numbers were not drawn`);
    });
    assert.deepEqual(machine.effects(), []);
  });
}
