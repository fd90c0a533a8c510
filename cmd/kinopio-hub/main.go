// Command kinopio-hub runs a leaf, shows the demo, looks after the local CA, and uses
// variables and functions at the terminal. It turns flags into calls of the libraries beside it, prints, and sets the exit code:
// 0 for success, 1 for an error, 2 for a command line that cannot be understood, 130
// when a second signal has cut a clean end short.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	// quic-go prints a line where the system allows small UDP buffers only, which are enough here.
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	if !signal.Ignored(syscall.SIGHUP) { // As by nohup.
		signal.Notify(signals, syscall.SIGHUP) // The terminal is closed.
	}
	// Who reads the output may go: writing then fails, and does not end the program. (To
	// ignore the signal would be handed on to the programs that this one runs.)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	go func() { // Lives as long as the program.
		<-signals
		cancel() // A clean end.
		<-signals
		os.Exit(exitAtOnce)
	}()
	return execute(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr, os.Getenv)
}
