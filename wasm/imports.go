//go:build js && wasm

package main

import "unsafe"

// imports is the [port] that npm/src/sockets.ts provides.
type imports struct{}

//go:wasmimport kinopio ws_open
func wsOpen(hub, id uint32, url unsafe.Pointer, n uint32)

//go:wasmimport kinopio ws_send
func wsSend(id uint32, p unsafe.Pointer, n uint32) uint32

//go:wasmimport kinopio ws_close
func wsClose(id uint32)

func (imports) open(hub, id uint32, url string) {
	wsOpen(hub, id, unsafe.Pointer(unsafe.StringData(url)), uint32(len(url)))
}

func (imports) send(id uint32, p []byte) bool {
	return wsSend(id, unsafe.Pointer(unsafe.SliceData(p)), uint32(len(p))) != 0
}

func (imports) close(id uint32) { wsClose(id) }
