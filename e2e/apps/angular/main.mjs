// Angular with zone.js and with signals. The decorators are called as functions, so that this is plain JavaScript.
import "zone.js";
import "@angular/compiler";
import { AsyncPipe } from "@angular/common";
import { Component, provideZoneChangeDetection, signal } from "@angular/core";
import { toSignal } from "@angular/core/rxjs-interop";
import { bootstrapApplication } from "@angular/platform-browser";
import { hub } from "../hub.mjs";

const { battery } = hub.robot;

class Robot {
  level = signal(null); // what templates follow by themselves
  battery = battery; // for the pipe
  bound = toSignal(battery);
  plain = null; // what is looked at after everything that happens in the zone
  #ends = [battery.watch(this.level.set), battery.watch((now) => (this.plain = now))];
  more() {
    battery.pub(this.level() + 1);
  }
  ngOnDestroy() {
    for (const end of this.#ends) end();
  }
}
Component({
  selector: "app-robot",
  imports: [AsyncPipe],
  template: `<p id="level">{{ level() ?? "none" }}</p><p id="plain">{{ plain ?? "none" }}</p><p id="pipe">{{ (battery | async) ?? "none" }}</p><p id="bound">{{ bound() ?? "none" }}</p><button id="click" (click)="more()">more</button>`,
})(Robot);

class App {
  state = signal(hub.state);
  shown = signal(true);
  end = hub.onStateChange(this.state.set);
  toggle() {
    this.shown.set(!this.shown());
  }
}
Component({
  selector: "app-root",
  imports: [Robot],
  template: `<p id="state">{{ state() }}</p><button id="toggle" (click)="toggle()">show or hide</button>@if (shown()) {<app-robot />}`,
})(App);

bootstrapApplication(App, { providers: [provideZoneChangeDetection()] });
