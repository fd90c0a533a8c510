//go:build js && wasm

// Command wasm is the browser module: hub compiled for js/wasm behind a narrow bridge.
//
// JavaScript calls Go through the exports of exports.go. None of them waits: it would return in
// the middle, and the module would be lost. What a frame brings is dealt with, and what JavaScript
// asks for is done, within the call, unless something would have to wait: then an export leaves its
// work where a goroutine finds it, and the glue (npm/src/runtime.ts) resumes Go's scheduler, which
// runs until every goroutine waits. That is why no goroutine that waits for something from outside
// may hold a lock that exports take: the two that one may hold, of the hub's outbox while the
// connection is congested and of a socket's Write, are only tried.
//
// What Go has for JavaScript lies in an outbox a hub, as a table of rows, which the glue fetches
// with kinopio_take each time Go has come to rest, or a call says so. So each frame of a socket, each microtask's messages and
// each timer is one crossing, however many messages it brings; user callbacks never
// run inside Go's call stack, and an idle Go has always armed its timers.
//
// Only bytes cross. Values, scopes, callbacks and the codec live in JavaScript.
package main

func main() {
	select {} // the exports and the goroutines they start do the work
}
