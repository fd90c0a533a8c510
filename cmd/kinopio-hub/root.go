package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

// env is what commands know of the environment beside their flags.
type env func(name string) string

// skipTrustInstall reports whether the user wants trust stores left alone.
func (e env) skipTrustInstall() bool {
	switch e("KINOPIO_SKIP_CA_TRUST_INSTALL") {
	case "", "0", "false":
		return false
	}
	return true
}

// execute runs one command line and returns its exit code.
func execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer, getenv env) int {
	given := getenv
	getenv = func(name string) string { return strings.TrimSpace(given(name)) } // What sets a variable may add a line end.
	understood := false                                                         // What fails before a command begins is a mistake in the command line.
	root := newRootCommand(getenv)
	root.PersistentPreRun = func(*cobra.Command, []string) { understood = true }
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return 0
	}
	if _, usage := errors.AsType[*usageError](err); !understood && !usage {
		err = &usageError{err: err, command: cmd.CommandPath()}
	}
	return report(stderr, err, cmd.CommandPath())
}

func newRootCommand(getenv env) *cobra.Command {
	root := &cobra.Command{
		Use:   "kinopio-hub",
		Short: "Remote variables and functions, as near as the next leaf",
		Long: `Remote variables and functions, as near as the next leaf.

A leaf is a small NATS server on the LAN, bridged to a backbone. Pages and programs
find it by its manifest and move to it without losing a message.`,
		Example: `  kinopio-hub demo --open
  kinopio-hub leaf start --discovery-namespace studio
  kinopio-hub sub 'robot.>' --server nats://localhost:4222
  kinopio-hub leaf start --discovery-namespace studio --backbone-server nats://backbone.example.com:7422`,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		newCACommand(getenv),
		newDemoCommand(getenv),
		newGetCommand(getenv),
		newKeepCommand(getenv),
		newLeafCommand(getenv),
		newLsCommand(getenv),
		newPubCommand(getenv),
		newReqCommand(getenv),
		newServeCommand(getenv),
		newSetCommand(getenv),
		newSubCommand(getenv),
		newVersionCommand(),
		newWatchCommand(getenv),
	)
	return root
}

// group is a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{
		Use:   use,
		Short: short,
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return &usageError{err: fmt.Errorf("unknown command %q for %q", args[0], cmd.CommandPath()), command: cmd.CommandPath()}
		},
	}
	cmd.AddCommand(commands...)
	return cmd
}
