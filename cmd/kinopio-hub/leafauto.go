package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/election"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// autoFlags are what leaf auto has beside the flags of a leaf.
type autoFlags struct {
	leafFlags
	graceMs    int
	fast, warm bool
	json       bool
	jsonLines  bool
	parentPipe bool
}

func newLeafAutoCommand(getenv env) *cobra.Command {
	var flags autoFlags
	cmd := &cobra.Command{
		Use:   "auto --discovery-namespace NAME",
		Short: "Keep one leaf alive on this LAN, here or elsewhere, until Ctrl-C",
		Long: `Keep one leaf alive on this LAN, here or elsewhere, until Ctrl-C.

The devices of a namespace elect one that runs the leaf: the one nearest to the
backbone. The others follow, and take over when it goes. On every one of them the
leader's manifest is served on loopback too, at --discovery-port.`,
		Example: `  kinopio-hub leaf auto --discovery-namespace studio --backbone-server nats://backbone.example.com:7422
  KINOPIO_NAMESPACE_SECRET=… kinopio-hub leaf auto --discovery-namespace studio --fast-failover`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if flags.config.DiscoveryNamespace == "" {
				return &usageError{err: errors.New("--discovery-namespace is missing"),
					hint: "name the system that this leaf belongs to: kinopio-hub leaf auto --discovery-namespace studio"}
			}
			c, err := flags.complete(getenv, !flags.json && !flags.jsonLines)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithCancel(cmd.Context())
			defer cancel()
			if flags.parentPipe {
				go func() {
					_, _ = io.Copy(io.Discard, cmd.InOrStdin()) // However it ends, the parent is gone.
					cancel()
				}()
			}
			w := newOutput(cmd.OutOrStdout())
			defer w.close()
			return runAuto(ctx, c, &flags, w)
		},
	}
	flags.add(cmd)
	f := cmd.Flags()
	f.IntVar(&flags.graceMs, "leader-missing-grace-ms", 10_000, "how long a silent leader is waited for, in milliseconds")
	f.BoolVar(&flags.fast, "fast-failover", false, "hold a connection to the leader, whose proven death is not waited on")
	f.BoolVar(&flags.warm, "warm-standby", false, "keep a leaf started, unannounced, while another leads")
	f.BoolVar(&flags.json, "json", false, "print the status as one JSON document, and then nothing")
	f.BoolVar(&flags.jsonLines, "json-lines", false, "print the status as one JSON document a line, with each change")
	f.BoolVar(&flags.parentPipe, "parent-pipe", false, "end when standard input ends")
	_ = f.MarkHidden("parent-pipe") // Fails only for a flag that is not there.
	return cmd
}

// runAuto takes part in the election until ctx ends.
func runAuto(ctx context.Context, c leaf.Config, flags *autoFlags, w io.Writer) error {
	if flags.graceMs < 0 || flags.graceMs > int(time.Hour/time.Millisecond) {
		return &usageError{err: fmt.Errorf("--leader-missing-grace-ms %d: not a time to wait", flags.graceMs), hint: "give 1 to 3600000 milliseconds, or 0 for 10000"}
	}
	// What a leaf would refuse is said now, and not when this node's turn to lead has come.
	if err := c.Check(); err != nil {
		return err
	}
	local, err := listenManifest(c.Ports.Discovery)
	if err != nil {
		return err
	}
	starter := &leafStarter{config: c, agent: make(chan *election.Agent, 1)}
	out := &autoOutput{w: w, json: flags.json, jsonLines: flags.jsonLines, local: local.url()}
	agent, err := election.Enable(ctx, election.Config{
		DiscoveryNamespace: c.DiscoveryNamespace, NodeID: c.NodeID, CacheDir: c.CacheDir, BackboneServers: c.BackboneServers,
		LeaderMissingGrace: time.Duration(flags.graceMs) * time.Millisecond,
		FastFailover:       flags.fast, WarmStandby: flags.warm, NamespaceSecret: c.NamespaceSecret,
		Starter: starter, OnChange: func(s election.AgentStatus) {
			starter.changed()
			out.changed(s)
		},
	})
	if err != nil {
		local.close()
		if errors.Is(err, context.Canceled) {
			return nil // Asked to end before it began.
		}
		return autoError(err)
	}
	starter.follow(agent)
	local.serve(agent, c.AllowedOrigins)
	<-ctx.Done()
	agent.Stop(context.Background()) // Ends by itself within seconds.
	local.close()
	return nil
}

// autoError names the flag of a field that cannot be used.
func autoError(err error) error {
	config, ok := errors.AsType[*election.ConfigError](err)
	if !ok {
		return err
	}
	flag := map[string]string{"LeaderMissingGrace": "--leader-missing-grace-ms", "NamespaceSecret": "--namespace-secret"}[config.Field]
	if flag == "" {
		flag = flagFor(config.Field)
	}
	return &usageError{err: fmt.Errorf("%s %q: %s", flag, config.Value, config.Problem), hint: "kinopio-hub leaf auto --help tells what each flag takes"}
}

// localManifest is where programs of this machine find the leader, whoever that is.
type localManifest struct {
	listener net.Listener
	server   *http.Server
	done     chan struct{}
}

func listenManifest(port int) (*localManifest, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, fmt.Errorf("serve the manifest on this machine: %w", leaf.NewListenError("discovery", "127.0.0.1", port, err))
	}
	return &localManifest{listener: ln}, nil
}

func (l *localManifest) url() string {
	return "http://" + l.listener.Addr().String() + leaf.ManifestPath
}

// serve answers pages of origins; of any without some. The leaf's own rules hold here, too.
func (l *localManifest) serve(agent *election.Agent, origins []string) {
	l.done = make(chan struct{})
	l.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: leaf.ManifestHandler(func() *leaf.Manifest {
		return leafManifest(agent.Status().Leader)
	}, cleanOrigins(origins)...)}
	go func() {
		defer close(l.done)
		_ = l.server.Serve(leaf.Guard(l.listener)) // Ends with close.
	}()
}

// cleanOrigins are origins as browsers write them; Check has seen that they are some.
func cleanOrigins(origins []string) (clean []string) {
	for _, o := range origins {
		if own, err := leaf.CleanOrigin(o); err == nil {
			clean = append(clean, own)
		}
	}
	return clean
}

func (l *localManifest) close() {
	if l.server == nil {
		l.listener.Close()
		return
	}
	l.server.Close()
	<-l.done
}

// autoOutput prints what an agent reports. Its method is called one call at a time.
type autoOutput struct {
	w               io.Writer
	json, jsonLines bool
	local           string
	begun           bool
	last            string
	warned          []string
}

func (o *autoOutput) changed(s election.AgentStatus) {
	if o.json {
		// One document says most when it is decided who leads.
		settled := s.State == election.Leading || s.State == election.Following || s.LastError != ""
		if o.begun || !settled {
			return
		}
		o.begun = true
	}
	if o.json || o.jsonLines {
		var lastError *string // null when there is none.
		if s.LastError != "" {
			lastError = &s.LastError
		}
		_ = json.NewEncoder(o.w).Encode(struct {
			election.AgentStatus
			LastError   *string `json:"lastError"`
			ManifestURL string  `json:"manifestUrl"` // On this machine, whoever leads.
		}{s, lastError, o.local})
		return
	}
	if !o.begun {
		o.begun = true
		fmt.Fprintf(o.w, "node %s; the leader's manifest is at %s\nCtrl-C ends it.\n\n", s.NodeID, o.local)
	}
	line := string(s.State)
	if s.Leader != nil {
		line += fmt.Sprintf(": %s leads, epoch %d, %s", s.Leader.NodeID, s.LeaderEpoch, s.Leader.WSSURL)
	}
	if s.LastError != "" {
		line += "; " + s.LastError
	}
	for _, warning := range s.Warnings {
		if !slices.Contains(o.warned, warning) {
			fmt.Fprintf(o.w, "%s  warning: %s\n", time.Now().Format(time.TimeOnly), plain(warning))
		}
	}
	o.warned = s.Warnings
	if line != o.last {
		o.last = line
		fmt.Fprintf(o.w, "%s  %s\n", time.Now().Format(time.TimeOnly), plain(line))
	}
}
