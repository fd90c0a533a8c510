// Canned callbacks and handlers.
import { Box, Gate } from "./handles.mjs";
import { display, revive } from "./values.mjs";

const recordOf = (message) => ({
  value: message.data, subject: message.subject, reply: message.reply, headers: message.headers, bytes: message.raw,
});

/** Makes the handle of a subscription or service; its messages may go to the box of another one. */
function keep(run, step) {
  const handle = { box: step.into ? run.handles.get(step.into).box : new Box(), gate: new Gate() };
  if (step.as) run.handles.set(step.as, handle);
  return handle;
}

function known(word, ...words) {
  if (!words.includes(word)) throw new Error(`with ${display(word)}: want one of ${words}`);
}

/** Subscribes with one of the canned callbacks. */
export function sub(run, step, find) {
  known(step.with, undefined, "throw", "throw once", "respond", "echo", "unsubscribe", "hold", "distinct");
  const handle = keep(run, step);
  let thrown = false;
  const record = (message) => {
    handle.box.put(recordOf(message));
    switch (step.with) {
      case "throw once":
        if (thrown) return undefined;
        thrown = true;
        throw new Error("thrown by a callback");
      case "throw":
        throw new Error("thrown by a callback");
      case "respond":
      case "echo":
        return message.respond(step.with === "echo" ? message.data : revive(step.value)).catch((error) => handle.box.put({ value: error.code }));
      case "unsubscribe":
        handle.end();
    }
    return undefined;
  };
  const callback = step.with === "hold" ? (_, message) => handle.gate.hold().then(() => record(message)) : (_, message) => record(message);
  return run.finish(step, async () => {
    const subscription = await find().sub(callback, { queue: step.queue, max: step.max, conflate: step.conflate, order: step.order });
    handle.end = () => subscription.unsubscribe();
    handle.drain = (...timeout) => subscription.drain(...timeout);
    handle.done = subscription.closed;
  });
}

/** Takes `max` messages in a loop over the subscription, and leaves it. */
export async function iterate(run, step, hub, variable) {
  const handle = keep(run, step);
  const subscription = await variable.sub({ queue: step.queue });
  handle.outcome = (async () => {
    let n = 0;
    for await (const message of subscription) {
      handle.box.put(recordOf(message));
      if (++n === step.max) break;
    }
    return { value: n };
  })().catch((error) => ({ error }));
  await hub.flush();
}

/** Serves with one of the canned handlers. */
export function serve(run, step, find) {
  known(step.with, "echo", "double", "throw", "nothing", "give", "hold", "refuse", "name");
  const handle = keep(run, step);
  const handler = (data, message) => {
    switch (step.with) {
      case "double":
        if (typeof data !== "number") throw new Error(`not a number: ${display(data)}`);
        return 2 * data;
      case "throw":
        throw Object.assign(new Error(step.text), step.code && { serviceCode: step.code });
      case "nothing":
        return undefined;
      case "give":
        return revive(step.value);
      case "hold":
        return handle.gate.hold().then(() => data);
      case "refuse":
        return () => {};
      case "name":
        return message.subject;
    }
    return data;
  };
  return run.finish(step, async () => {
    const service = await find().serve(handler, { queue: step.queue, concurrency: step.concurrency });
    handle.end = () => service.unsubscribe();
    handle.drain = () => service.drain();
    handle.done = service.closed;
  });
}
