//go:build js && wasm

// Command wasm is the browser module: hub compiled for js/wasm behind a narrow bridge.
//
// JavaScript calls Go through the exports of exports.go. None of them blocks or waits: an
// export leaves its work where a goroutine finds it, and the glue (npm/src/runtime.ts) then
// resumes Go's scheduler, which runs until every goroutine waits. What Go has for JavaScript
// lies in an outbox a hub, as a table of rows, which the glue fetches with kinopio_take
// each time Go has come to rest. So each frame of a socket, each microtask's messages and
// each timer is one crossing, however many messages it brings; user callbacks never
// run inside Go's call stack, and an idle Go has always armed its timers.
//
// Only bytes cross. Values, scopes, callbacks and the codec live in JavaScript.
package main

func main() {
	select {} // the exports and the goroutines they start do the work
}
