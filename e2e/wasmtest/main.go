// Command wasmtest runs a Go test that was compiled for js/wasm in a browser: Chromium, or the one that
// the environment variable KINOPIO_BROWSER names (chromium, firefox or webkit). It is meant for
//
//	GOOS=js GOARCH=wasm go test -exec "$PWD/bin/wasmtest" ./transport/wsjs
//
// go test calls it with the .wasm file and the flags of the test. It serves these to a page,
// prints what the page prints, and exits with the code of the test. Sets of peers that a test
// needs and a browser cannot be are started here; -peers names them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
)

func main() {
	timeout := flag.Duration("timeout", 10*time.Minute, "how long the test may take in all")
	sets := flag.String("peers", "transport,webtransport,conformance", "the sets of peers to start, separated by commas")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: wasmtest [flags] test.wasm [flags of the test]")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() == 0 {
		flag.Usage()
		os.Exit(2)
	}
	code, err := run(*timeout, strings.Split(*sets, ","), flag.Args())
	if err != nil {
		fmt.Fprintln(os.Stderr, "error: wasmtest:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

// run returns the exit code of the test; args is its file and its flags.
func run(timeout time.Duration, sets, args []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	defer stop()
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, fmt.Errorf("the test took more than %v", timeout))
	defer cancel()

	env := map[string]string{}
	for _, v := range os.Environ() {
		// There is room for some kilobytes only, and no need for the rest.
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "KINOPIO_") {
			env[name] = value
		}
	}
	for _, set := range sets {
		start := peerSets[strings.TrimSpace(set)]
		if start == nil {
			return 0, fmt.Errorf("there is no set of peers %q", set)
		}
		vars, stop, err := start()
		if err != nil {
			return 0, fmt.Errorf("start the peers %q: %w", set, err)
		}
		defer stop()
		for name, value := range vars {
			env[name] = value
		}
	}
	pageURL, stopPage, err := servePage(args, env)
	if err != nil {
		return 0, fmt.Errorf("serve the page: %w", err)
	}
	defer stopPage()
	name := engine.Chromium
	if other := os.Getenv("KINOPIO_BROWSER"); other != "" {
		name = engine.Name(other)
	}
	code, err = browse(ctx, name, pageURL, os.Stdout)
	if cause := context.Cause(ctx); err != nil && cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return code, err
}
