package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

func newLeafCommand(getenv env) *cobra.Command {
	return group("leaf", "Run a leaf on this machine", newLeafStartCommand(getenv), newLeafAutoCommand(getenv), newLeafKeyCommand(getenv))
}

func newLeafStartCommand(getenv env) *cobra.Command {
	var flags leafFlags
	var out leafOutput
	var parentPipe bool
	cmd := &cobra.Command{
		Use:   "start --discovery-namespace NAME",
		Short: "Run one leaf until Ctrl-C",
		Long: `Run one leaf until Ctrl-C.

NATS clients and monitoring are served on this machine only; WebSockets and the
manifest on the LAN, with a certificate of this machine's own CA. The leaf starts
whether or not the backbone answers.`,
		Example: `  kinopio-hub leaf start --discovery-namespace studio
  kinopio-hub leaf start --discovery-namespace studio --backbone-server nats://backbone.example.com:7422
  kinopio-hub leaf start --discovery-namespace studio --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.config.DiscoveryNamespace == "" {
				return &usageError{err: errors.New("--discovery-namespace is missing"),
					hint: "name the system that this leaf belongs to: kinopio-hub leaf start --discovery-namespace studio"}
			}
			c, err := flags.complete(getenv, !out.json && !out.jsonLines)
			if err != nil {
				return err
			}
			w := newOutput(cmd.OutOrStdout())
			defer w.close()
			out.w = w
			out.caFlags = caFlagsFor(flags.config.CacheDir)
			var parent io.Reader
			if parentPipe {
				parent = cmd.InOrStdin()
			}
			return runLeaf(cmd.Context(), c, &out, parent)
		},
	}
	flags.add(cmd)
	cmd.Flags().BoolVar(&out.json, "json", false, "print the status as one JSON document, and then nothing")
	cmd.Flags().BoolVar(&out.jsonLines, "json-lines", false, "print the status as one JSON document a line, with each change")
	cmd.Flags().BoolVar(&parentPipe, "parent-pipe", false, "end when standard input ends")
	_ = cmd.Flags().MarkHidden("parent-pipe") // Fails only for a flag that is not there.
	return cmd
}

// runLeaf runs a leaf until ctx ends or parent (if any) reaches its end. What dies in
// between is started again by the leaf itself.
func runLeaf(ctx context.Context, c leaf.Config, out *leafOutput, parent io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c.OnChange = out.changed
	l, err := leaf.Start(ctx, c)
	if err != nil {
		if errors.Is(err, context.Canceled) {
			return nil // Asked to end before it began.
		}
		return err
	}
	if parent != nil {
		go func() {
			_, _ = io.Copy(io.Discard, parent) // However it ends, the parent is gone.
			cancel()
		}()
	}
	<-ctx.Done()
	l.Stop(context.Background()) // Ends by itself within two seconds.
	return nil
}
