// What the types promise; tsc checks it (npm run check:types), nothing runs it.
import KinopioHub, { KinopioError, KINOPIO_STATE_EVENT, KinopioHub as Named } from "kinopio-hub";
import type { Codec, HubState, KinopioErrorCode, KinopioOptions, Member, Message, Missing, Presence, PresenceChange, Scope, Service, Subscription, Variable } from "kinopio-hub";
import { enableAutoLeaf, startLeafNode } from "kinopio-hub/leaf";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
/** Fails to compile unless the two are the same type. */
const same = <A, B>(_: Same<A, B>): void => {};

const codec: Codec = { encode: (value) => new TextEncoder().encode(String(value)), decode: (bytes) => bytes.length };
const options: KinopioOptions = { servers: ["wss://nats.example.com"], serverSelectionMode: "latency", codec, discovery: { enabled: true } };
const hub: KinopioHub = new KinopioHub(options);
const again: Named = hub;

const battery = hub.getScope("robot").getVariable<number>("battery");
same<typeof battery, Variable<number>>(true);
same<typeof battery.value, number | null>(true);
const subscription = battery.sub((level, message) => {
  same<typeof level, number>(true);
  same<typeof message, Message<number>>(true);
});
same<Awaited<typeof subscription>, Subscription<number>>(true);
battery.watch((level) => level.toFixed(1));
void battery.sub((level) => level.toFixed(1), { order: "arrival" });
// @ts-expect-error an order that does not exist
void battery.sub((level) => level.toFixed(1), { order: "time" });
void battery.pub(87);
// @ts-expect-error a number is published
void battery.pub("87");
// @ts-expect-error an option that does not exist
new KinopioHub({ server: "wss://nats.example.com" });
// @ts-expect-error a mode that does not exist
new KinopioHub({ serverSelectionMode: "nearest" });
new KinopioHub({ numbers: false, repair: { bytes: -1, ageMs: 1000, waitMs: 1000 } });

same<typeof hub.users, Scope>(true);
same<typeof hub.users.online, Variable<any>>(true);
same<typeof hub.users.presence, Presence<any>>(true);

const room: Presence<{ name: string }> = hub.room.presence;
room.join({ name: "Ada" });
// @ts-expect-error data of another kind
room.update({ nick: "Ada" });
// @ts-expect-error members are for reading
room.members.push();
same<typeof room.members, readonly Member<{ name: string }>[]>(true);
export const alone: Promise<boolean> = room.ready(500).then((members) => members.every(({ self }) => self));
export const endOfRoom: () => void = room.onChange((change) => {
  same<typeof change, PresenceChange<{ name: string }>>(true);
  same<typeof change.kind, "joined" | "changed" | "left">(true);
  change.member.data.name.trim();
});

export async function answers(): Promise<number> {
  const service = await hub.math.double.serve((n: number) => n * 2);
  same<typeof service, Service<any>>(true);
  for await (const message of await battery.sub()) same<typeof message, Message<number>>(true);
  return again.math.double.req<number>(21, { timeout: 500 });
}

const stop: () => void = hub.onStateChange((state) => same<typeof state, HubState>(true));
hub.onMissing((missing) => same<typeof missing, Missing>(true));
hub.onMove(({ phase, tripMs }) => {
  same<typeof phase, "" | "connect" | "join" | "leave" | "done">(true);
  same<typeof tripMs, number>(true);
});
hub.event.on(KINOPIO_STATE_EVENT, (state) => same<typeof state, HubState>(true));
stop();

export async function leaves(): Promise<void> {
  const leaf = await startLeafNode({ discoveryNamespace: "studio", ports: { client: 4222 } });
  same<typeof leaf.wssUrl, string>(true);
  // @ts-expect-error the namespace is required
  await enableAutoLeaf({ leaderMissingGraceMs: 10_000 });
  const node = await enableAutoLeaf({ discoveryNamespace: "studio", leaderMissingGraceMs: 10_000 });
  await node.stop();
}

export const code = (error: unknown): KinopioErrorCode | undefined => (error instanceof KinopioError ? error.code : undefined);
