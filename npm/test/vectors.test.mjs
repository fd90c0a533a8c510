import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { source } from "./helpers.mjs";

const vectors = JSON.parse(readFileSync(new URL("../../conformance/vectors.json", import.meta.url), "utf8"));
const { encode, decode, decodeText, decodePayload } = await source("codec.ts");
const { checkName } = await source("names.ts");
const { errorReply } = await source("service.ts");

const revive = (value) =>
  value?.$nothing ? undefined : value?.$bytes !== undefined ? new Uint8Array(Buffer.from(value.$bytes, "base64")) : value;
const bytesOf = (vector) => new Uint8Array(vector.base64 === undefined ? Buffer.from(vector.text) : Buffer.from(vector.base64, "base64"));

test("values give the bytes of the shared vectors", () => {
  for (const vector of vectors.encode) {
    const payload = encode(revive(vector.value), {});
    const bytes = typeof payload === "string" ? new TextEncoder().encode(payload) : payload;
    assert.deepEqual(bytes, bytesOf(vector), vector.name);
  }
});

test("bytes give the values of the shared vectors", () => {
  for (const vector of vectors.decode) {
    const bytes = bytesOf(vector);
    assert.deepEqual(decode(bytes, {}), revive(vector.value), vector.name);
    assert.deepEqual(decodePayload(bytes, {}), revive(vector.value), vector.name);
    if (vector.text !== undefined) assert.deepEqual(decodeText(vector.text, {}), revive(vector.value), vector.name);
  }
});

test("names are taken and refused as in the shared vectors", () => {
  for (const { name, target, pattern } of vectors.names) {
    for (const [wildcards, good] of [[false, target], [true, pattern]]) {
      const check = () => checkName(name, wildcards);
      if (good) assert.doesNotThrow(check, JSON.stringify(name));
      else assert.throws(check, { code: "INVALID_NAME" }, `${JSON.stringify(name)}, wildcards: ${wildcards}`);
    }
  }
});

test("handlers that throw answer as in the shared vectors", () => {
  for (const { message, text, header, code } of vectors.errors) {
    const [data, headers] = errorReply(new Error(message));
    assert.equal(data, text);
    assert.equal(Buffer.from(headers).toString(), `Nats-Service-Error\0${header}\0Nats-Service-Error-Code\0${code}\0`);
  }
});

test("what has no bytes is refused before anything is sent", () => {
  const cycle = {};
  cycle.self = cycle;
  for (const value of [NaN, Infinity, () => {}, Symbol("x"), cycle, 1n, { deep: [1n] }]) {
    assert.throws(() => encode(value, {}), { code: "INVALID_VALUE" });
  }
});

test("a codec wins for everything but null, bytes and strings", () => {
  const codec = { encode: (v) => new Uint8Array([v.n]), decode: (b) => ({ n: b[0] }) };
  assert.deepEqual(encode({ n: 7 }, { codec }), new Uint8Array([7]));
  assert.equal(encode("text", { codec }), "text");
  assert.equal(encode(null, { codec }), "");
  assert.deepEqual(decode(new Uint8Array([9]), { codec }), { n: 9 });
  assert.equal(decode(new Uint8Array(0), { codec }), null);
  assert.throws(() => encode({}, { codec: { encode: () => "no bytes" } }), { code: "INVALID_VALUE" });
  const strict = { codec: { decode: () => { throw new Error("no"); } } };
  assert.equal(decode(new TextEncoder().encode("text"), strict), "text");
});

test("jsonReplacer and jsonReviver are used", () => {
  assert.equal(encode({ a: 1, b: 2 }, { jsonReplacer: (k, v) => (k === "b" ? undefined : v) }), '{"a":1}');
  assert.deepEqual(decodeText('{"a":1}', { jsonReviver: (k, v) => (k === "a" ? v + 1 : v) }), { a: 2 });
});

test("the value of a variable is what the shared vectors say, event by event", async () => {
  const { ValueRule } = await source("value.ts");
  const { cases } = JSON.parse(readFileSync(new URL("../../conformance/values.json", import.meta.url), "utf8"));
  assert.ok(cases.length >= 25);
  const payloadOf = (coded, data) => (data === null ? undefined : coded(textOf(data)));
  const textOf = (data) => (typeof data === "string" ? data : data.of.repeat(data.repeat));
  const known = new Set(["repeat", "sent", "set", "placed", "echoed", "id", "echo", "heard", "unsure", "is", "pending", "denied", "lost", "went", "failed", "passed"]);
  const encoder = new TextEncoder();
  for (const coded of [(text) => text, (text) => encoder.encode(text)]) {
    for (const { name, steps } of cases) {
      const rule = new ValueRule();
      steps.forEach((step, i) => {
        const where = `${name}, step ${i + 1}`;
        for (const word of Object.keys(step)) assert.ok(known.has(word), `${where}: ${word} means nothing`);
        for (let n = 0; n < (step.repeat ?? 1); n++) {
          if ("sent" in step) rule.sent(coded(textOf(step.sent)), step.echo ?? true, step.id);
          if ("heard" in step) {
            const unsure = rule.heard(coded(textOf(step.heard)));
            assert.equal(unsure, step.unsure ?? unsure, where);
          }
        }
        if ("set" in step) rule.set(payloadOf(coded, step.set), step.echo ?? true, step.id);
        if ("placed" in step) rule.place(payloadOf(coded, step.placed));
        if ("echoed" in step) assert.equal(rule.echoed(payloadOf(coded, step.echoed)), step.unsure ?? false, where);
        for (const event of ["went", "failed", "passed"]) if (event in step) rule[event](step[event]);
        if (step.denied) rule.denied();
        if (step.lost) rule.lost();
        if ("is" in step) assert.deepEqual(rule.now, payloadOf(coded, step.is), where);
        if ("pending" in step) assert.equal(rule.pending, step.pending, where);
      });
    }
  }
});
