// Command labserver is a lab for tests that are no Go programs. It prints the lab's URL and
// ends with its standard input.
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
)

func main() {
	url, stop, err := lab.Serve()
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	fmt.Println(url)
	_, _ = io.Copy(io.Discard, os.Stdin)
	stop()
}
