import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { headers as makeHeaders } from "@nats-io/nats-core";
import { connect } from "@nats-io/transport-node";
import { KinopioHub } from "../dist/index.mjs";
import { collector, rejects, startServer } from "./helpers.mjs";

// The other side is the official NATS client: what it sees are the bytes.

let server;
let hub;
let nats;
before(async () => {
  server = await startServer();
  hub = new KinopioHub({ servers: [server.ws] });
  nats = await connect({ servers: server.tcp });
  await hub.connected();
});
after(async () => {
  await hub.dispose();
  await nats.close();
  await server.stop();
});

test("a NATS client gets the bytes of the wire format", async () => {
  const got = collector();
  nats.subscribe("io.out", { callback: (_, m) => got.push([m.string(), m.headers?.get("k") ?? ""]) });
  await nats.flush();
  await hub.io.out.pub({ a: 1, b: "<x>" });
  await hub.io.out.pub("plain");
  await hub.io.out.pub(null);
  await hub.io.out.pub(new TextEncoder().encode("bytes"), { headers: { k: "v" } });
  assert.deepEqual(await got.take(4), [['{"a":1,"b":"<x>"}', ""], ["plain", ""], ["", ""], ["bytes", "v"]]);
});

test("a NATS client's messages arrive as values", async () => {
  const got = collector();
  await hub.io.in.sub((data, m) => got.push([data, m.headers.k?.join() ?? ""]));
  const headers = makeHeaders();
  headers.append("k", "one");
  headers.append("k", "two");
  nats.publish("io.in", '{"a":[1]}', { headers });
  nats.publish("io.in", "just text");
  nats.publish("io.in");
  nats.publish("io.in", new Uint8Array([0xff, 0xfe]));
  assert.deepEqual(await got.take(4), [[{ a: [1] }, "one,two"], ["just text", ""], [null, ""], [new Uint8Array([0xff, 0xfe]), ""]]);
});

test("a NATS client calls our service, and sees its errors", async () => {
  await hub.io.double.serve((n) => {
    if (typeof n !== "number") throw new Error("want a number");
    return { twice: n * 2 };
  });
  assert.deepEqual((await nats.request("io.double", "21")).json(), { twice: 42 });
  const failed = await nats.request("io.double", "x");
  assert.equal(failed.string(), '{"error":true,"message":"want a number"}');
  assert.equal(failed.headers.get("Nats-Service-Error"), "want a number");
  assert.equal(failed.headers.get("Nats-Service-Error-Code"), "500");
});

test("we call a NATS client's service, and see its errors", async () => {
  nats.subscribe("io.theirs", {
    callback: (_, m) => {
      if (m.string() === "fail") {
        const headers = makeHeaders();
        headers.set("Nats-Service-Error", "broken");
        headers.set("Nats-Service-Error-Code", "503");
        m.respond('{"detail":1}', { headers });
      } else m.respond(`got ${m.string()}`);
    },
  });
  await nats.flush();
  assert.equal(await hub.io.theirs.req([1, 2]), "got [1,2]");
  const error = await rejects(hub.io.theirs.req("fail"), "SERVICE_ERROR");
  assert.deepEqual([error.message, error.serviceCode, error.data], ["broken", "503", { detail: 1 }]);
});

test("our services share a queue group by the name that 2.x uses", async () => {
  const got = collector();
  const theirs = nats.subscribe("io.shared", { queue: "io.shared.service", callback: (_, m) => m.respond("theirs") });
  await nats.flush();
  await hub.io.shared.serve(() => "ours");
  const answers = await Promise.all(Array.from({ length: 40 }, () => hub.io.shared.req()));
  answers.forEach(got.push);
  assert.equal(new Set(answers).size, 2, "both answer");
  theirs.unsubscribe();
});
