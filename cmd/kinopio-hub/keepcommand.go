package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/keeper"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// keepCommand is «kinopio-hub keep»: a keeper beside any NATS system.
type keepCommand struct {
	connect connectFlags
	keep    keepFlags
	bucket  string
	memory  bool
	json    bool
}

func newKeepCommand(getenv env) *cobra.Command {
	var k keepCommand
	cmd := &cobra.Command{
		Use:   "keep [SUBJECT…]",
		Short: "Keep the values that programs set, for those who come later",
		Long: `Keep the values that programs set, for those who come later, until Ctrl-C.

Every value that is set on the subjects (default: all of them) is remembered when the last
program that knew it has ended. They are stored in a JetStream key-value bucket of the NATS
system, which is made if there is none, and where plain NATS clients read them: under each
subject its value. What is published with pub, and not set, is kept by nobody.`,
		Example: `  kinopio-hub keep --server nats://backbone.example.com:4222 --creds keeper.creds
  kinopio-hub keep 'robot.>' --bucket robots
  kinopio-hub keep --memory`,
		RunE: func(cmd *cobra.Command, args []string) error {
			k.keep.patterns = args
			if err := k.complete(getenv); err != nil {
				return err
			}
			w := newOutput(cmd.OutOrStdout())
			defer w.close()
			return k.run(cmd.Context(), w)
		},
	}
	k.connect.add(cmd)
	f := cmd.Flags()
	f.StringVar(&k.bucket, "bucket", keeper.DirBucket, "name of the bucket")
	f.BoolVar(&k.memory, "memory", false, "store nothing: values live as long as this program")
	k.keep.addLimits(cmd)
	f.BoolVar(&k.json, "json", false, "print the state as one JSON document a line, with each change")
	f.SortFlags = false
	return cmd
}

func (k *keepCommand) complete(getenv env) error {
	if err := k.keep.check(); err != nil {
		return err
	}
	if err := k.connect.complete(getenv); err != nil {
		return err
	}
	if len(k.connect.servers) == 0 {
		return &usageError{err: errors.New("no server is given"), hint: "name one: --server nats://backbone.example.com:4222, or --context"}
	}
	return nil
}

// keepReady is how long the bucket is waited for.
const keepReady = 15 * time.Second

func (k *keepCommand) run(ctx context.Context, w io.Writer) error {
	const name = "kinopio-hub keep"
	conf, err := k.connect.config(name)
	if err != nil {
		return err
	}
	c := keeper.Config{Hub: conf, Patterns: k.keep.patterns, MaxValues: k.keep.maxValues, MaxBytes: k.keep.maxBytes, Logger: slog.New(slog.DiscardHandler)}
	where := "in memory"
	if !k.memory {
		nc, err := k.dial(name)
		if err != nil {
			return err
		}
		defer nc.Close()
		ready, cancel := context.WithTimeout(ctx, keepReady)
		defer cancel()
		if c.Bucket, err = keeper.OpenBucket(ready, nc, k.bucket); err != nil {
			return fmt.Errorf("%w\n  next: give the server JetStream, this user the right to it, or --memory", err)
		}
		where = fmt.Sprintf("in bucket %q", k.bucket)
	}
	keeping, err := keeper.Open(ctx, c)
	if err != nil {
		return err
	}
	defer keeping.Close()
	patterns := strings.Join(k.keep.patterns, ", ")
	if patterns == "" {
		patterns = "all subjects"
	}
	if !k.json {
		fmt.Fprintf(w, "keeps what is set on %s, %s. Ctrl-C ends it.\n", plain(patterns), plain(where))
	}
	k.watch(ctx, keeping, w)
	return nil
}

func (k *keepCommand) dial(name string) (*nats.Conn, error) {
	options, err := k.connect.options(name)
	if err != nil {
		return nil, err
	}
	options = append(options, nats.MaxReconnects(-1), nats.Timeout(keepReady))
	nc, err := nats.Connect(strings.Join(k.connect.servers, ","), options...)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", strings.Join(redacted(k.connect.servers), ", "), err)
	}
	return nc, nil
}

// watch prints what changes, until ctx ends.
func (k *keepCommand) watch(ctx context.Context, keeping *keeper.Keeper, w io.Writer) {
	look := time.NewTicker(250 * time.Millisecond)
	defer look.Stop()
	var last keeper.Status
	for first := true; ; first = false {
		now := keeping.Status()
		switch {
		case k.json && (first || now != last):
			_ = json.NewEncoder(w).Encode(keepDocument{now.Connected, now.Values, now.Bytes, now.Evicted, now.Unstored, given(now.LastError)})
		case !k.json:
			for _, line := range keepLines(last, now, first) {
				fmt.Fprintf(w, "%s  %s\n", time.Now().Format(time.TimeOnly), plain(line))
			}
		}
		last = now
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}

// A keepDocument is the state as JSON.
type keepDocument struct {
	Connected bool    `json:"connected"`
	Values    int     `json:"values"`
	Bytes     int     `json:"bytes"`
	Evicted   uint64  `json:"evicted"`
	Unstored  int     `json:"unstored"`
	LastError *string `json:"lastError"` // Of storing.
}

func given(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}

// keepLines says in words what has changed.
func keepLines(old, now keeper.Status, first bool) (lines []string) {
	switch {
	case now.Connected && !old.Connected:
		lines = append(lines, fmt.Sprintf("connected, with %d values", now.Values))
	case !now.Connected && (old.Connected || first):
		lines = append(lines, "no connection: what is set meanwhile is learned later, from programs that know it")
	}
	switch {
	case now.LastError != "" && now.LastError != old.LastError:
		lines = append(lines, "not stored yet: "+now.LastError)
	case now.LastError == "" && old.LastError != "":
		lines = append(lines, "everything is stored again")
	}
	if now.Evicted > 0 && old.Evicted == 0 {
		lines = append(lines, "there are more values than are kept: those that have not changed for longest go (--keep-values, --keep-bytes)")
	}
	return lines
}

func redacted(servers []string) (shown []string) {
	for _, s := range servers {
		shown = append(shown, transport.Redact(s))
	}
	return shown
}
