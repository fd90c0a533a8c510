//go:build !(js && wasm)

// Command wasm is the browser module; it does something only when built for js/wasm.
package main

import "os"

func main() {
	os.Stderr.WriteString("error: this program is the browser module\nhint: GOOS=js GOARCH=wasm go build -tags kinopio_page -o kinopio-hub.wasm ./wasm\n")
	os.Exit(2)
}
