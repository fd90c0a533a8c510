// The two sides, and what they do: the same in Chromium and in Node. Nothing here knows where
// it runs; host.kinopio and host.nats are the packages, host.ws the server.

export const small = { id: 123456, x: 1.25, y: -3.5, name: "kinopio", ok: 1 };
const smallText = JSON.stringify(small);
if (smallText.length !== 55) throw new Error(`the small message has ${smallText.length} bytes`);

/** No UTF-8, as what is large mostly is. */
export function blob(size) {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = 0x80 + (i % 26);
  return bytes;
}

const channel = new MessageChannel();

/** Lets the event loop go on, as a page must that stays responsive: sockets move only then. */
function breathe() {
  return new Promise((resolve) => {
    channel.port1.onmessage = resolve;
    channel.port2.postMessage(null);
  });
}

class Ours {
  constructor({ kinopio, ws }, discovery) {
    this.hub = new kinopio.KinopioHub({ servers: [ws], discovery });
  }
  open() {
    return this.hub.connected();
  }
  #of(subject) {
    const at = subject.indexOf(".");
    return this.hub.getScope(subject.slice(0, at)).getVariable(subject.slice(at + 1));
  }
  publisher(subject) {
    const variable = this.#of(subject);
    return (value) => void variable.pub(value);
  }
  flush() {
    return this.hub.flush(60_000);
  }
  async subscribe(subject, kind, got) {
    const subscription = await this.#of(subject).sub(kind === "value" ? (value) => got(value) : (_, message) => got(message.raw));
    return () => subscription.unsubscribe();
  }
  requester(subject) {
    const variable = this.#of(subject);
    return (value) => variable.req(value, { timeout: 60_000 });
  }
  async serve(subject) {
    const service = await this.#of(subject).serve((value) => value);
    return () => service.unsubscribe();
  }
  close() {
    return this.hub.dispose();
  }
}

/** Ours on a leaf, to which it has come by a given way. */
class OnLeaf extends Ours {
  #way;
  constructor(host, way) {
    super(host, { enabled: true, manifestUrl: host.manifests[way] });
    this.#way = way;
  }
  async open() {
    await super.open();
    const isThere = ({ state, detail }) => state === "local" && detail.endsWith("by WebTransport") === (this.#way === "webtransport");
    // On a busy machine a WebSocket may be the first, and WebTransport follows.
    for (const end = performance.now() + 20_000; !isThere(this.hub.discoveryStatus); await new Promise((resolve) => setTimeout(resolve, 5))) {
      if (performance.now() > end) throw new Error(`not on the leaf ${this.#way}: ${JSON.stringify(this.hub.discoveryStatus)}`);
    }
  }
}

class Peer {
  constructor({ nats, ws }) {
    this.connecting = nats.wsconnect({ servers: ws });
  }
  async open() {
    this.nc = await this.connecting;
  }
  publisher(subject) {
    return (value) => this.nc.publish(subject, value instanceof Uint8Array ? value : JSON.stringify(value));
  }
  flush() {
    return this.nc.flush();
  }
  async subscribe(subject, kind, got) {
    const subscription = this.nc.subscribe(subject, {
      callback: (error, message) => {
        if (error) throw error;
        got(kind === "value" ? message.json() : message.data);
      },
    });
    return () => subscription.unsubscribe();
  }
  requester(subject) {
    return async (value) => {
      const message = await this.nc.request(subject, JSON.stringify(value), { timeout: 60_000 });
      return message.data.length > 0 ? message.json() : null;
    };
  }
  async serve(subject) {
    const subscription = this.nc.subscribe(subject, {
      queue: "q",
      callback: (error, message) => {
        if (error) throw error;
        message.respond(JSON.stringify(message.json()));
      },
    });
    await this.nc.flush();
    return () => subscription.unsubscribe();
  }
  close() {
    return this.nc.close();
  }
}

/** A side of that name, connected. */
export async function open(host, name) {
  const sides = {
    ours: () => new Ours(host),
    peer: () => new Peer(host),
    "ours by WebTransport": () => new OnLeaf(host, "webtransport"),
    "ours by wss": () => new OnLeaf(host, "wss"),
    "nats-core by wss": () => new Peer({ ...host, ws: host.leaf }),
  };
  const side = sides[name]();
  await side.open();
  return side;
}

const works = {
  async publish(side, { count, size }) {
    const value = size ? blob(size) : small;
    const publish = side.publisher("bench.publish");
    const run = size ? Math.max(1, (1 << 20) / size) : 2000; // a few milliseconds' worth
    const start = performance.now();
    for (let i = 1; i <= count; i++) {
      publish(value);
      if (i % run === 0) await breathe();
    }
    await side.flush();
    return performance.now() - start;
  },

  // From the request for the messages to the last callback.
  async receive(side, { count, size = 0, spread = 0, subscribers = 1, bytes = false }) {
    const subject = "bench.receive";
    const subjects = spread ? Array.from({ length: spread }, (_, i) => `${subject}.${i}`) : [subject];
    let left = count * subscribers;
    let done;
    const all = new Promise((resolve) => (done = resolve));
    const got = bytes || size ? (data) => check(data.length === (size || smallText.length)) : (value) => check(value.id === small.id);
    function check(good) {
      if (!good) throw new Error("another message than was sent");
      if (--left === 0) done();
    }
    const stops = [];
    for (const one of subjects) {
      for (let i = 0; i < subscribers; i++) stops.push(await side.subscribe(one, bytes || size ? "bytes" : "value", got));
    }
    await side.flush();
    const start = performance.now();
    await side.requester("bench.feed")({ subject, count, size, spread });
    await all;
    const took = performance.now() - start;
    for (const stop of stops) await stop();
    await side.flush();
    return took;
  },

  /** µs, one at a time: two quantiles. */
  async request(side, { count }) {
    const took = [];
    const request = side.requester("bench.echo");
    for (let i = 0; i < count; i++) {
      const start = performance.now();
      const { id } = await request(small);
      if (id !== small.id) throw new Error("another answer than was asked for");
      took.push((performance.now() - start) * 1000);
    }
    took.sort((a, b) => a - b);
    return [took[Math.floor((count - 1) * 0.5)], took[Math.floor((count - 1) * 0.99)]];
  },

  async inFlight(side, { count }) {
    let left = count;
    const request = side.requester("bench.echo");
    const start = performance.now();
    await Promise.all(
      Array.from({ length: 64 }, async () => {
        while (--left >= 0) await request(small);
      }),
    );
    return performance.now() - start;
  },

  async serve(side, { count }) {
    const stop = await side.serve("bench.service");
    const start = performance.now();
    await side.requester("bench.ask")({ subject: "bench.service", count });
    const took = performance.now() - start;
    await stop();
    return took;
  },

  /** Only ours, only in a browser: ms of the longest task, as the browser sees it, while messages arrive; 0 for none over 50. */
  async longest(side, options) {
    let longest = 0;
    const note = (list) => list.getEntries().forEach(({ duration }) => (longest = Math.max(longest, duration)));
    const observer = new PerformanceObserver(note);
    observer.observe({ entryTypes: ["longtask"] });
    await works.receive(side, options);
    await works.publish(side, options);
    await new Promise((resolve) => setTimeout(resolve, 100)); // entries come late
    note({ getEntries: () => observer.takeRecords() });
    observer.disconnect();
    return longest;
  },

  /** Only ours: reads a second. */
  async reads(side, { count }) {
    const variable = side.hub.getScope("bench").getVariable("read");
    await variable.pub(small);
    const start = performance.now();
    for (let i = 0; i < count; i++) if (variable.value.id !== small.id) throw new Error("another value");
    return count / ((performance.now() - start) / 1000);
  },

  /** Until the leaf's first word, by what the browser has: for the ways themselves. */
  async firstWord(_, { leaf, way, rounds }) {
    const took = [];
    for (let i = 0; i < rounds; i++) {
      const start = performance.now();
      const end = await (way ? firstOfSession(way) : firstOfSocket(leaf));
      took.push(performance.now() - start);
      await end();
    }
    took.sort((a, b) => a - b);
    return took[took.length >> 1];
  },

  /** The bytes that the side has received and published are the page's to forget. */
  async million(side, { count }) {
    await works.publish(side, { count: count / 2 });
    await works.receive(side, { count: count / 2 });
    return 0;
  },
};

async function firstOfSession({ url, certificateHashes }) {
  const bytes = (hash) => Uint8Array.from(atob(hash), (character) => character.charCodeAt(0));
  const session = new WebTransport(url, { serverCertificateHashes: certificateHashes.map((hash) => ({ algorithm: "sha-256", value: bytes(hash) })) });
  await session.ready;
  const { value: stream } = await session.incomingBidirectionalStreams.getReader().read();
  await stream.readable.getReader().read();
  return async () => {
    session.close();
    await session.closed;
  };
}

async function firstOfSocket(url) {
  const socket = new WebSocket(url);
  const closed = new Promise((resolve) => (socket.onclose = resolve));
  await new Promise((resolve) => (socket.onmessage = resolve));
  return () => {
    socket.close();
    return closed;
  };
}

/**
 * Lets a side do a work; the result is a number or several. The side is there for that only: a
 * variable that was once subscribed to follows its value from then on, so a side that stayed would
 * go on working while the other is measured.
 */
export async function measure(host, name, work, options) {
  if (name === "nobody") return works[work](undefined, options);
  const side = await open(host, name);
  try {
    return await works[work](side, options);
  } finally {
    await side.close();
  }
}
