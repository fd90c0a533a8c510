// What a step asks of handles, servers, the plain NATS client and the vectors.
import { Box } from "./handles.mjs";
import { bytesOf, display, fromBase64, same, toBase64 } from "./values.mjs";

export async function handleStep(run, step, handle, verb) {
  switch (verb) {
    case "gets":
      return handle.box.gets(step, run.patience);
    case "forgets":
      handle.box.forgetful = true; // what nobody asked for is no failure
      return undefined;
    case "ends":
      handle.end?.();
      return run.settle(step, handle.outcome);
    case "waits": // it has not ended yet
      if (handle.settled) throw new Error(`has ended: ${display(handle.settled.value)}, ${handle.settled.error}`);
      return undefined;
    case "unsubscribe":
    case "stop":
      handle.end();
      return undefined;
    case "drain":
      return run.finish(step, () => handle.drain());
    case "closed":
      return run.settle(step, handle.done.then(() => ({})));
    case "release":
      handle.gate.release();
      return undefined;
    case "runs":
      return handle.gate.runs(step.is, run.patience);
    case "peak":
      return same(handle.gate.peak, step.is);
  }
  throw new Error(`a handle has no verb ${display(verb)}`);
}

export async function serverStep(run, step, server, verb) {
  switch (verb) {
    case "stop":
    case "start":
    case "kick":
    case "silence":
      await run.ask({ do: verb, server: server.id });
      return undefined;
    case "restart":
      await run.ask({ do: "stop", server: server.id });
      await run.ask({ do: "start", server: server.id });
      return undefined;
    case "clients":
      return run.eventually(async () => {
        const { count, names } = await run.ask({ do: "clients", server: server.id });
        if (step.are) same(names, step.are);
        if ("is" in step) same(count, step.is);
      });
  }
  throw new Error(`a server has no verb ${display(verb)}`);
}

/** The plain NATS client is on the server main. */
export async function rawStep(run, step, verb, subject) {
  const message = (m) => ({ headers: m.headers, data: toBase64(bytesOf(m.text, m.base64)) });
  const command = {
    server: run.servers.get("main").id, queue: step.queue, waitMs: run.patience,
    message: { subject, reply: step.reply, ...message(step) },
  };
  switch (verb) {
    case "sub": {
      const { sub } = await run.ask({ ...command, do: "subscribe" });
      const box = new Box();
      run.handles.set(step.as, { box });
      (async () => {
        for (;;) box.put(record((await run.ask({ do: "next", sub, waitMs: 60_000 }, run.over.signal)).message));
      })().catch(() => {}); // the scenario is over
      return undefined;
    }
    case "pub":
      await run.ask({ ...command, do: "publish" });
      return undefined;
    case "req":
      return run.finish(step, async () => ({ wire: record((await run.ask({ ...command, do: "request" })).message) }));
    case "serve":
      await run.ask({ ...command, do: "serve", answers: (step.answers ?? []).map(message) });
      return undefined;
  }
  throw new Error(`the plain client has no verb ${display(verb)}`);
}

const record = ({ subject, reply, headers, data }) => ({ subject, reply, headers: headers ?? {}, bytes: fromBase64(data ?? "") });

/** Plays the vectors of a kind over the wire, between the hub a and the plain client. */
export async function vectorsStep(run, kind) {
  const { vectors } = run.platform;
  const one = async (name, ...steps) => {
    for (const step of steps) {
      try {
        await run.step(step);
      } catch (error) {
        throw new Error(`${display(name)}: ${display(step.do)}: ${error.message}`, { cause: error });
      }
    }
  };
  switch (kind) {
    case "encode":
      await one("", { do: "raw sub vectors.out", as: "out" });
      for (const v of vectors.encode) {
        await one(v.name, { do: "a pub vectors/out", value: v.value }, { do: "out gets", messages: [{ text: v.text, base64: v.base64 }].map(defined) });
      }
      return;
    case "decode":
      await one("", { do: "a sub vectors/in", as: "in" });
      for (const v of vectors.decode) {
        await one(v.name, defined({ do: "raw pub vectors.in", text: v.text, base64: v.base64 }), { do: "in gets", values: [v.value] });
      }
      return;
    case "names":
      for (const { name, target, pattern } of vectors.names) {
        const at = ["names", name];
        const fails = (good) => (good ? undefined : "INVALID_NAME");
        await one(name, defined({ do: "a pub", at, value: 1, fails: fails(target) }), defined({ do: "a sub", at, fails: fails(pattern) }));
      }
      return;
    case "errors":
      for (const [i, e] of vectors.errors.entries()) {
        const headers = { "Nats-Service-Error": [e.header], "Nats-Service-Error-Code": [e.code] };
        await one(
          e.message,
          { do: `a serve vectors/errors${i}`, with: "throw", text: e.message },
          { do: `raw req vectors.errors${i}`, message: { text: e.text, headers } },
        );
      }
      return;
  }
  throw new Error(`there are no vectors ${display(kind)}`);
}

const defined = (object) => Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
