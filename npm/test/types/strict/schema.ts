// A hub with a schema: no casts, also under noUncheckedIndexedAccess, and subclasses with methods.
import KinopioHub from "kinopio-hub";
import type { Message, Service, Variable, VariableMeta } from "kinopio-hub";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

interface Point {
  x: number;
  y: number;
}
interface Schema {
  robot: { battery: number; pose: Point; move: (to: Point) => Promise<boolean> };
  log: { line: string };
}

const hub = new KinopioHub<Schema>({ servers: ["wss://nats.example.com"] });
same<typeof hub.robot.battery, Variable<number>>(true);
same<typeof hub.robot.pose.value, Point | null>(true);
void hub.robot.battery.pub(87);
// @ts-expect-error a number is published
void hub.robot.battery.pub("87");
void hub.robot.battery.set(87);
void hub.robot.pose.set({ x: 1, y: 2 }, { timeout: 0 });
// @ts-expect-error a number is set
void hub.robot.battery.set("87");
// @ts-expect-error a point has two coordinates
void hub.robot.pose.set({ x: 1 });
same<ReturnType<typeof hub.robot.pose.delete>, Promise<void>>(true);
same<ReturnType<typeof hub.robot.pose.ready>, Promise<Point | null>>(true);
same<typeof hub.robot.pose.meta, VariableMeta>(true);
hub.robot.pose.onChange((pose, exists) => {
  same<typeof pose, Point | null>(true);
  same<typeof exists, boolean>(true);
});
// @ts-expect-error no such variable
void hub.robot.speed;
// @ts-expect-error no such scope
void hub.arm;
void hub.log.line.sub((line, message) => {
  same<typeof line, string>(true);
  same<typeof message, Message<string>>(true);
});
hub.robot.pose.watch((pose) => same<typeof pose, Point>(true));
same<ReturnType<typeof hub.robot.move.req>, Promise<boolean>>(true);
// @ts-expect-error a point is asked for
void hub.robot.move.req(1);
same<ReturnType<typeof hub.robot.move.serve>, Promise<Service<Point>>>(true);
void hub.robot.move.serve((to) => to.x > 0);
// @ts-expect-error it answers true or false
void hub.robot.move.serve((to) => to.x);
same<ReturnType<typeof hub.getScope<"robot">>, typeof hub.robot>(true);
void hub.getScope("robot").getVariable("pose").pub({ x: 1, y: 2 });
hub.onStateChange(() => {});

/** Methods of subclasses are no scopes. */
export class Robot extends KinopioHub<Schema> {
  level(): number {
    return this.robot.battery.value ?? 0;
  }
}
same<ReturnType<Robot["level"]>, number>(true);
void new Robot().robot.pose.ready();

// Names that objects have, or that others ask them for, are what they are everywhere.
interface Taken {
  state: { name: string; battery: number; then: number; toString: number };
  robot: { name: string; getVariable: number; presence: number; battery: number };
}
const taken = new KinopioHub<Taken>();
same<typeof taken.state, import("kinopio-hub").HubState>(true);
same<typeof taken.robot.name, string>(true);
// @ts-expect-error a scope has a name, which is no variable
void taken.robot.name.pub("x");
// @ts-expect-error it would be a promise
void taken.getScope("state").then.pub(1);
void taken.getScope("state").battery.pub(1);
void taken.getScope("robot").getVariable("name").pub("x");
void taken.getScope("robot").getVariable("presence").pub(1);
taken.getScope("robot").presence.join({ any: "data" });
hub.robot.battery.subscribe({ next: (level) => same<typeof level, number | null>(true) }).unsubscribe();
