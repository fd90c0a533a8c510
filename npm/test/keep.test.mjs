import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { source } from "./helpers.mjs";

// What Go's machine of set values has done, and what versions are, written down by internal/keep.
const { stamps, lives } = JSON.parse(readFileSync(new URL("../../conformance/keep.json", import.meta.url), "utf8"));
const { parseStamp, stampText, before } = await source("keep/version.ts");
const { Machine } = await source("keep/machine.ts");

test("versions are read and written as in Go", () => {
  for (const [text, good, counter, writer, deleted, again] of stamps) {
    const stamp = parseStamp(text);
    assert.deepEqual(stamp && { ...stamp }, good ? { counter, writer, deleted, again } : undefined, text);
    if (good) assert.equal(stampText(stamp), text);
  }
});

test("the higher counter is later, and of equal ones the greater writer", () => {
  const order = ["0", "1.0000000", "1.A000000", "1.a000000", "2.0000000", "a.0000000", "1fffffffffffff.zzzzzzz"].map(parseStamp);
  order.forEach((a, i) => order.forEach((b, j) => assert.equal(before(a, b), i < j, `${stampText(a)} ${stampText(b)}`)));
});

const dataOf = (shown) => (typeof shown === "number" ? "x".repeat(shown) : shown);
const shown = (data) => (data.length > 100 && /^x*$/.test(data) ? data.length : data);

/** How each method is called with what is written down, and what of its result is. */
const methods = {
  effects: (m) => m.effects().map(({ kind, name, stamp, data, id }) => [kind, name, stampText(stamp), shown(data), id]),
  next: (m) => m.next(),
  follow: (m, now, name) => m.follow(now, name),
  unfollow: (m, name) => m.unfollow(name),
  online: (m, now) => m.online(now),
  offline: (m) => m.offline(),
  tick: (m, now) => m.tick(now),
  set: (m, now, name, data, deleted, id) => m.set(now, name, dataOf(data), deleted, id),
  refused: (m, now, name, mute) => m.refused(now, name, mute),
  exhausted: (m, name) => m.exhausted(name),
  waiting: (m, name) => m.waiting(name),
  heard: (m, now, name, stamp, data) => m.heard(now, name, parseStamp(stamp), dataOf(data)),
  heardOffer: (m, now, text) => m.heardOffer(now, text),
  heardBeat: (m, now, text) => m.heardBeat(now, text),
  answered: (m, now, name, stamp, data) => m.answered(now, name, parseStamp(stamp), dataOf(data)),
  unanswered: (m, now, name) => m.unanswered(now, name),
  asked(m, name) {
    const known = m.asked(name);
    return known && [stampText(known.stamp), shown(known.data)];
  },
};

for (const { name, atOnce, steps } of lives) {
  test(`a machine lives as Go's did: ${name}`, () => {
    let drawn = [];
    const draw = (below) => {
      const next = drawn.shift();
      const [bound, value] = Array.isArray(next) ? next : [below === undefined ? undefined : 1 << 20, next];
      assert.equal(below, bound, "what is drawn");
      return value;
    };
    const machine = new Machine(() => draw(), draw, () => draw(), atOnce);
    assert.ok(steps.length > 0);
    steps.forEach(([method, args, draws, result], i) => {
      const where = `step ${i + 1}: ${method} ${JSON.stringify(args)}`;
      drawn = draws;
      assert.deepEqual(methods[method](machine, ...args) ?? null, result, where);
      assert.equal(drawn.length, 0, `${where}: ${drawn.length} numbers were not drawn`);
    });
    assert.deepEqual(machine.effects(), []);
  });
}
