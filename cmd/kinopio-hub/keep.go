package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/keeper"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// keepFlags say which values are kept, and how many.
type keepFlags struct {
	patterns            []string
	maxValues, maxBytes int
	dir                 string
}

const (
	keepValues = 10_000
	keepBytes  = 64 << 20
)

func (k *keepFlags) addLimits(cmd *cobra.Command) {
	cmd.Flags().IntVar(&k.maxValues, "keep-values", keepValues, "most values that are kept; of more the one goes that has not changed for longest")
	cmd.Flags().IntVar(&k.maxBytes, "keep-bytes", keepBytes, "most bytes of them, with their subjects")
}

// addToLeaf adds the flags of commands that run a leaf.
func (k *keepFlags) addToLeaf(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVar(&k.patterns, "keep", nil, "keep the values that are set on these subjects (--keep=robot.>; alone: all, and the bridge carries everything); repeat for more")
	f.Lookup("keep").NoOptDefVal = ">"
	f.StringVar(&k.dir, "keep-dir", "", "folder where they outlive this leaf (default: in memory)")
	k.addLimits(cmd)
}

// check says what is wrong with the flags; nil with nothing.
func (k *keepFlags) check() error {
	for _, limit := range []struct {
		flag  string
		value int
		usual int
	}{{"--keep-values", k.maxValues, keepValues}, {"--keep-bytes", k.maxBytes, keepBytes}} {
		if limit.value < 1 {
			return &usageError{err: fmt.Errorf("%s %d: fewer than one", limit.flag, limit.value), hint: fmt.Sprintf("give a number from 1, such as %d", limit.usual)}
		}
	}
	if err := (hub.KeepOptions{Patterns: k.patterns}).Validate(); err != nil {
		return &usageError{err: fmt.Errorf("--keep: %w", err), hint: "give a subject such as robot.battery, robot.* or robot.>"}
	}
	return nil
}

// forLeaf is what leaf.Config.Keep shall be; nil without --keep.
func (k *keepFlags) forLeaf() (leaf.KeepFunc, error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if len(k.patterns) == 0 {
		if k.dir != "" {
			return nil, &usageError{err: errors.New("--keep-dir without --keep: nothing is kept"), hint: "add --keep, or --keep=robot.> for some subjects"}
		}
		return nil, nil
	}
	return func(ctx context.Context, in leaf.Inside) (leaf.Keeper, error) { return k.open(ctx, in) }, nil
}

// A leafKeeper is a keeper in a leaf.
type leafKeeper struct {
	*keeper.Keeper
	flags *keepFlags
	dir   *keeper.Dir // nil: in memory
}

func (k *keepFlags) open(ctx context.Context, in leaf.Inside) (_ leaf.Keeper, err error) {
	out := &leafKeeper{flags: k}
	c := keeper.Config{Patterns: k.patterns, MaxValues: k.maxValues, MaxBytes: k.maxBytes, Logger: slog.New(slog.DiscardHandler)}
	if k.dir != "" {
		if out.dir, err = keeper.OpenDir(ctx, k.dir); err != nil {
			return nil, err
		}
		c.Bucket = out.dir.Bucket
	}
	c.Hub = hub.Config{Servers: []string{"nats://leaf"}, Name: "kinopio-leaf keeper", Dialers: []transport.Dialer{insideDialer{in}}}
	c.Hub.Auth.NkeySeed, c.Hub.Auth.Creds, err = in.Credentials()
	if err == nil {
		out.Keeper, err = keeper.Open(ctx, c)
	}
	if err != nil && out.dir != nil {
		out.dir.Close()
	}
	return out, err
}

func (k *leafKeeper) Status() leaf.KeeperStatus {
	s := k.Keeper.Status()
	return leaf.KeeperStatus{
		Patterns: k.flags.patterns, Dir: k.flags.dir, Connected: s.Connected, Values: s.Values, Bytes: s.Bytes,
		MaxValues: k.flags.maxValues, MaxBytes: k.flags.maxBytes, Evicted: s.Evicted, Unstored: s.Unstored, LastError: s.LastError,
	}
}

func (k *leafKeeper) Close() {
	k.Keeper.Close()
	if k.dir != nil {
		k.dir.Close()
	}
}

// insideDialer connects to the server of a leaf in this process.
type insideDialer struct{ in leaf.Inside }

func (insideDialer) Schemes() []string { return []string{"nats"} }

func (d insideDialer) Dial(ctx context.Context, url string) (net.Conn, error) {
	conn, err := d.in.Dial(ctx)
	if err != nil {
		return nil, &transport.Error{Op: "dial", URL: url, Err: err}
	}
	return conn, nil
}
