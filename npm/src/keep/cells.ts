import type { Payload } from "../codec.js";
import { unset, type Stamp, type Version } from "./version.js";

/** What is to be done with a cell at a time of its region: the indices of `jobs`. */
export const Job = {
  /** To be offered. */
  offer: 0,
  /** To be sent again. */
  send: 1,
  /** Others know a newer version, and it has not come. */
  demand: 2,
} as const;
export type JobOf = (typeof Job)[keyof typeof Job];

/** What the names with one first part have in common. */
export class Region {
  readonly name: string;
  #cells: Cell[] = [];
  #sorted = true;
  /** How many cells each job is to be done with, and when. */
  readonly jobs = [Job.offer, Job.send, Job.demand].map(() => ({ cells: 0, at: 0 }));

  constructor(name: string) {
    this.name = name;
  }

  /** In the order of their names. */
  get cells(): readonly Cell[] {
    if (!this.#sorted) this.#cells.sort((a, b) => (a.name < b.name ? -1 : 1));
    this.#sorted = true;
    return this.#cells;
  }

  add(c: Cell): void {
    this.#sorted &&= this.#cells.length === 0 || this.#cells[this.#cells.length - 1]!.name < c.name;
    this.#cells.push(c);
  }

  remove(c: Cell): void {
    this.#cells.splice(place(this.cells, c.name), 1);
  }
}

/** A value of this hub's that is still to be sent. Only the latest waits. */
interface Own {
  data: Payload;
  deleted: boolean;
  id: number;
}

/** One name that is followed. */
export class Cell {
  readonly name: string;
  readonly region: Region;
  /** A name that is forgotten and followed anew has another, so that no version comes twice. */
  readonly writer: string;
  stamp: Stamp = unset;
  data: Payload = "";
  /** The highest counter that was seen. */
  most = 0;
  /** The server does not take it from this hub. */
  mute = false;
  /** When it changed. */
  at = 0;
  readonly jobs = [false, false, false];
  /** At so many of the next beats it is offered, as it has changed. */
  recent = 0;
  /** It is known whether it has a value. */
  known = false;
  asking = false;
  /** Its turn to be asked for is still to come. */
  queued = false;
  /** Others may ask for it here. */
  served = false;
  own: Own | undefined;
  /** When it is asked for again, and when it is given up. */
  askAt = 0;
  askUntil = 0;
  /** Others know it. */
  want: Version = unset;
  /** Times that it was asked for. */
  wanted = 0;

  constructor(name: string, region: Region, writer: string) {
    this.name = name;
    this.region = region;
    this.writer = writer;
  }

  /** Lets a job be done, at a time if the region has none for it yet. */
  plan(job: JobOf, at: number): void {
    if (this.jobs[job]) return;
    this.jobs[job] = true;
    const of = this.region.jobs[job]!;
    if (++of.cells === 1) of.at = at;
  }

  done(job: JobOf): void {
    if (!this.jobs[job]) return;
    this.jobs[job] = false;
    this.region.jobs[job]!.cells--;
  }

  /** Is offered at a time, or sooner. */
  offer(at: number): void {
    this.plan(Job.offer, at);
    const of = this.region.jobs[Job.offer]!;
    of.at = Math.min(of.at, at);
  }
}

/** Where a name is among those of a sorted list, or would be. */
export function place(list: readonly { name: string }[], name: string): number {
  let low = 0;
  for (let high = list.length; low < high; ) {
    const middle = (low + high) >> 1;
    if (list[middle]!.name < name) low = middle + 1;
    else high = middle;
  }
  return low;
}
