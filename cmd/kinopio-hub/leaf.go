package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/leaf"
)

// flagOf maps a field of leaf.Config to the flag that sets it, for error messages.
var flagOf = map[string]string{
	"DiscoveryNamespace": "--discovery-namespace",
	"BackboneServers":    "--backbone-server",
	"AdvertisedHostname": "--advertised-hostname",
	"NodeID":             "--node-id",
	"CacheDir":           "--cache-dir",
	"RuntimeDir":         "--runtime-dir",
	"LANBindAddress":     "--lan-bind-address",
	"Ports.Client":       "--client-port",
	"Ports.WebSocket":    "--websocket-port",
	"Ports.Discovery":    "--discovery-port",
	"Ports.Monitor":      "--monitor-port",
	"TLS":                "--tls-cert-file and --tls-key-file",
}

func newLeafCommand(getenv env) *cobra.Command {
	return group("leaf", "Run a leaf on this machine", newLeafStartCommand(getenv))
}

// leafFlags are the flags that every command has that runs a leaf.
func leafFlags(cmd *cobra.Command, c *leaf.Config) {
	f := cmd.Flags()
	f.StringVar(&c.DiscoveryNamespace, "discovery-namespace", "", "name that the nodes of one system share (required)")
	f.StringArrayVar(&c.BackboneServers, "backbone-server", nil, "leafnode URL of the backbone; repeat for more (none: stand alone)")
	f.StringVar(&c.AdvertisedHostname, "advertised-hostname", "", "name or address in the URLs for others (default: the LAN address)")
	f.StringVar(&c.NodeID, "node-id", "", "name of this node (default: a random one)")
	f.StringVar(&c.CacheDir, "cache-dir", "", "folder for the CA (default: $KINOPIO_LEAF_CACHE_DIR, else the user's cache)")
	f.StringVar(&c.RuntimeDir, "runtime-dir", "", "folder for the log while the leaf runs (default: a temporary one)")
	f.StringVar(&c.LANBindAddress, "lan-bind-address", "", "address for WebSockets and the manifest (default: detected)")
	f.IntVar(&c.Ports.Client, "client-port", 0, "port for NATS clients on this machine (0: any)")
	f.IntVar(&c.Ports.WebSocket, "websocket-port", 0, "port for WebSockets on the LAN (0: any)")
	f.IntVar(&c.Ports.Discovery, "discovery-port", 0, "port for the manifest on the LAN (0: any)")
	f.IntVar(&c.Ports.Monitor, "monitor-port", 0, "port for monitoring on this machine (0: any)")
	f.BoolVar(&c.NoWebSocketTLS, "no-websocket-tls", false, "serve ws:// and http:// instead of wss:// and https://")
	f.StringVar(&c.TLS.CertFile, "tls-cert-file", "", "PEM certificate chain of your own (default: one from this machine's CA)")
	f.StringVar(&c.TLS.KeyFile, "tls-key-file", "", "PEM key of that certificate")
	f.SortFlags = false
}

func newLeafStartCommand(getenv env) *cobra.Command {
	var c leaf.Config
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
			if c.DiscoveryNamespace == "" {
				return &usageError{err: errors.New("--discovery-namespace is missing"),
					hint: "name the system that this leaf belongs to: kinopio-hub leaf start --discovery-namespace studio"}
			}
			if c.CacheDir == "" {
				c.CacheDir = getenv("KINOPIO_LEAF_CACHE_DIR")
			}
			c.SkipTrustInstall = getenv.skipTrustInstall()
			out.w = cmd.OutOrStdout()
			var parent io.Reader
			if parentPipe {
				parent = cmd.InOrStdin()
			}
			return runLeaf(cmd.Context(), c, &out, parent)
		},
	}
	leafFlags(cmd, &c)
	cmd.Flags().BoolVar(&out.json, "json", false, "print the status as one JSON document, and then nothing")
	cmd.Flags().BoolVar(&out.jsonLines, "json-lines", false, "print the status as one JSON document a line, with each change")
	cmd.Flags().BoolVar(&parentPipe, "parent-pipe", false, "end when standard input ends")
	_ = cmd.Flags().MarkHidden("parent-pipe") // Fails only for a flag that is not there.
	return cmd
}

// runLeaf runs a leaf until ctx ends, parent (if any) reaches its end, or it fails.
func runLeaf(ctx context.Context, c leaf.Config, out *leafOutput, parent io.Reader) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := make(chan string, 1)
	c.OnChange = func(s leaf.Status) {
		out.changed(s)
		if s.Phase == leaf.PhaseFailed {
			select {
			case failed <- s.LastError:
			default:
			}
		}
	}
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
	select {
	case <-ctx.Done():
	case reason := <-failed:
		err = fmt.Errorf("leaf failed: %s", reason)
	}
	l.Stop(context.Background()) // Ends by itself within two seconds.
	return err
}
