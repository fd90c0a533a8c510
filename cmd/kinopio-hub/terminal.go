package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/native"
)

// terminalConnect is how long the first connection is waited for.
const terminalConnect = 10 * time.Second

// terminalFlags are what pub, sub, req and the like share: where they are connected.
type terminalFlags struct {
	connect      connectFlags
	namespace    string
	namespaceKey string
	quiet        bool
}

func (t *terminalFlags) add(cmd *cobra.Command) {
	t.connect.add(cmd)
	f := cmd.Flags()
	f.StringVar(&t.namespace, "discovery-namespace", "", "move to the leaf of this namespace that is found through the server; without a server, the leaf on the LAN")
	f.StringVar(&t.namespaceKey, "namespace-key", "", "public key of that namespace (kinopio-hub leaf key): only leaves that sign with it count")
	f.BoolVarP(&t.quiet, "quiet", "q", false, "say nothing of the connection on standard error")
	f.SortFlags = false
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		hint := ""
		if strings.Contains(err.Error(), "unknown shorthand flag") {
			hint = "a value that begins with - goes after --, such as: " + cmd.CommandPath() + " robot.temperature -- -5"
		}
		return &usageError{err: err, command: cmd.CommandPath(), hint: hint}
	})
}

// complete says what is missing or does not fit together. Without a server, but with a namespace, a leaf is looked for on the
// LAN: then only flags give credentials, as those of the environment are for other servers.
func (t *terminalFlags) complete(getenv env) (onLAN bool, err error) {
	flags := t.connect
	if err := t.connect.complete(getenv); err != nil {
		return false, err
	}
	onLAN = len(t.connect.servers) == 0
	switch {
	case t.namespaceKey != "" && t.namespace == "":
		return false, &usageError{err: errors.New("--namespace-key without --discovery-namespace"), hint: "give both"}
	case onLAN && t.namespace == "":
		return false, &usageError{err: errors.New("no server is given"),
			hint: "name one: --server nats://localhost:4222, or --context, or the leaf on the LAN by --discovery-namespace"}
	case onLAN:
		t.connect.keepOnly(flags)
	}
	return onLAN, nil
}

// config is that of the hub. Its values are bytes, so that they are shown as they came. Without --ca-file this machine's own root
// is trusted beside the system's: a leaf that runs here is one of its.
func (t *terminalFlags) config(name string, getenv env) (hub.Config, error) {
	conf, err := t.connect.config(name)
	conf.Codec = bytesCodec{}
	conf.FailFast = true
	conf.Discovery = hub.Discovery{Enabled: t.namespace != "", Namespace: t.namespace, NamespaceKey: t.namespaceKey}
	if err != nil {
		return conf, err
	}
	if conf.TLS == nil {
		conf.TLS = &tls.Config{MinVersion: tls.VersionTLS12}
	}
	if conf.TLS.RootCAs == nil {
		conf.TLS.RootCAs, err = lanTrust(getenv)
	}
	return conf, err
}

// find puts the leaf that is on the LAN into conf.
func (t *terminalFlags) find(ctx context.Context, conf *hub.Config) (*lanDialer, error) {
	finder := &lanFinder{namespace: t.namespace, tls: conf.TLS, secrets: t.connect.secret(), named: t.connect.caFile != ""}
	found, err := finder.find(ctx)
	if err != nil {
		return nil, err
	}
	d := &lanDialer{Dialer: native.Dialer{TLS: conf.TLS}, finder: finder, first: found, now: found}
	conf.Servers, conf.Dialers = []string{found}, []transport.Dialer{d}
	conf.Discovery.RequireBackbone = hub.BackboneNever // It is where the command is to be.
	conf.ReconnectTimeout = lanPatience + lanFind + lanManifest
	return d, nil
}

// bytesCodec leaves payloads as they are: a JSON number of 20 digits would not survive as a float64.
type bytesCodec struct{}

func (bytesCodec) Encode(value any) ([]byte, error) {
	return nil, fmt.Errorf("want bytes, not a %T", value)
}

func (bytesCodec) Decode(data []byte, into any) error {
	p, ok := into.(*any)
	if !ok {
		return fmt.Errorf("want a place for any value, not a %T", into)
	}
	*p = data
	return nil
}

// A session is one command's hub and output.
type session struct {
	hub   *hub.Hub
	conf  hub.Config
	ctx   context.Context // ends by a signal, when nobody reads the output, and by end
	end   context.CancelCauseFunc
	out   *paced
	notes io.Writer // standard error
	quiet bool
	lan   *lanDialer // nil if the server was named

	mu      sync.Mutex
	own     map[string]bool // subjects of this command
	refused error           // what the server does not permit of them
}

// errEnough ends a session that has done what it was to do.
var errEnough = errors.New("enough")

// session runs use with a hub that is connected. An end by a signal, or by a reader who has gone, is none that use has to
// report.
func (t *terminalFlags) session(cmd *cobra.Command, getenv env, use func(*session) error) error {
	onLAN, err := t.complete(getenv)
	if err != nil {
		return err
	}
	conf, err := t.config(cmd.CommandPath(), getenv)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancelCause(cmd.Context())
	defer end(errEnough)
	notes := newOutput(cmd.ErrOrStderr())
	defer notes.close()
	s := &session{ctx: ctx, end: end, out: newPaced(cmd.Context(), ctx, end, cmd.OutOrStdout()), notes: notes, quiet: t.quiet, own: map[string]bool{}}
	if onLAN {
		s.lan, err = t.find(ctx, &conf)
	}
	if err == nil {
		err = s.open(conf, use)
	}
	s.out.close()
	switch {
	case errors.Is(context.Cause(ctx), errReaderGone):
		return nil
	case s.refused != nil:
		err = s.refused
	}
	return explained(err)
}

// open connects, runs use, and closes the hub.
func (s *session) open(conf hub.Config, use func(*session) error) error {
	h, err := hub.Open(context.WithoutCancel(s.ctx), conf) // A service answers what has come after a signal, too.
	if err != nil {
		return err
	}
	defer h.Close() // Whoever observes has been told everything then.
	s.hub, s.conf = h, conf
	h.OnError(s.wrong)
	ctx, cancel := context.WithTimeout(s.ctx, terminalConnect)
	defer cancel()
	if err := h.Connected(ctx); err != nil {
		return &connectError{conf.Servers, err}
	}
	s.tell()
	if err := use(s); err != nil {
		s.end(err)
		return err
	}
	if cause := context.Cause(s.ctx); errors.As(cause, new(*connectError)) {
		return cause
	}
	s.end(errEnough)
	return nil
}

// connectError says that there is no connection, and what to look at.
type connectError struct {
	servers []string
	err     error
}

func (e *connectError) Error() string {
	return fmt.Sprintf("connect to %s: %v", strings.Join(redacted(e.servers), ", "), e.err)
}
func (e *connectError) Unwrap() error { return e.err }
func (e *connectError) Hint() string {
	return "see that a server runs there and that this user may log in: --server, --context, --creds"
}

// explained makes a mistake in the command line of what the hub says is one.
func explained(err error) error {
	var usage *usageError
	switch {
	case err == nil || errors.As(err, &usage):
		return err
	case errors.Is(err, hub.ErrInvalidConfig):
		message := strings.TrimPrefix(err.Error(), hub.ErrInvalidConfig.Error()+": ")
		return &usageError{err: errors.New(configFlags.Replace(message)), hint: "give a URL such as nats://localhost:4222 or wss://leaf.local:8443"}
	case errors.Is(err, hub.ErrInvalidName):
		return &usageError{err: err, hint: "a subject has parts with dots between them, such as robot.battery; * and > are for listening"}
	}
	return err
}

var configFlags = strings.NewReplacer("Servers[", "--server [", "Servers", "--server", "InboxPrefix", "--inbox-prefix",
	"Auth.Creds", "--creds", "Auth.NkeySeed", "--nkey", "Discovery.NamespaceKey", "--namespace-key", "Discovery.Namespace", "--discovery-namespace")

// mine marks subjects as the command's own: what the server does not permit of them is its failure.
func (s *session) mine(subjects ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, subject := range subjects {
		s.own[subject] = true
	}
}

// wrong takes what went wrong and is nobody's return value.
func (s *session) wrong(err error) {
	var denied *hub.PermissionError
	if errors.As(err, &denied) {
		s.mu.Lock()
		own := s.own[denied.Subject]
		if own {
			s.refused = err
		}
		s.mu.Unlock()
		if own {
			s.end(err)
			return
		}
		if strings.HasPrefix(denied.Subject, "_") {
			return // What hubs tell each other: what it is good for goes without it.
		}
	}
	s.warn("%v", err)
}

// say prints a line on standard error.
func (s *session) say(format string, args ...any) {
	fmt.Fprintf(s.notes, "%s\n", plain(strings.ReplaceAll(fmt.Sprintf(format, args...), "\n", " ")))
}

// note says something of the connection, unless that is not wanted.
func (s *session) note(format string, args ...any) {
	if !s.quiet {
		s.say(format, args...)
	}
}

// warn says what is to be known of what was done, also when quiet.
func (s *session) warn(format string, args ...any) { s.say("warning: "+format, args...) }

// tell says where the hub is, from now on.
func (s *session) tell() {
	lost := false
	s.hub.OnStateChange(func(state hub.State) {
		switch {
		case state == hub.StateConnecting && !lost:
			lost = true
			s.note("the connection is lost: looking for a server")
		case state == hub.StateConnected && lost:
			lost = false
			s.note("connected again, to %s", s.server())
		case state == hub.StateError:
			status := s.hub.Status()
			s.end(&connectError{[]string{status.Server}, status.LastError})
		}
	})
	s.hub.OnMove(func(m hub.Move) {
		if m.Planned && m.Err == nil {
			s.note("moved to %s: %s", m.To, m.Reason)
		}
	})
	s.hub.OnMissing(func(m hub.Missing) { s.warn("%d messages on %s were lost", m.Count(), m.Subject) })
}

// server is where the hub is.
func (s *session) server() string {
	at := s.hub.Status().Server
	if s.lan != nil && sameServer(at, s.lan.first) {
		return s.lan.leads()
	}
	return at
}

// wait returns when the command is to end.
func (s *session) wait() { <-s.ctx.Done() }

// stopAfter ends the session after d; 0: never.
func (s *session) stopAfter(d time.Duration, why error) (stop func()) {
	if d <= 0 {
		return func() {}
	}
	t := time.AfterFunc(d, func() { s.end(why) })
	return func() { t.Stop() }
}

// toTerminal reports whether w is one.
func toTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

// positive refuses durations that make no sense.
func positive(flag string, d time.Duration, zero bool) error {
	if d > 0 || d == 0 && zero {
		return nil
	}
	return &usageError{err: fmt.Errorf("%s %v: want a time above 0", flag, d), hint: "give one such as 3s or 500ms"}
}

// atLeast refuses counts that make no sense.
func atLeast(flag string, n, least int) error {
	if n >= least {
		return nil
	}
	return &usageError{err: fmt.Errorf("%s %d: want %d or more", flag, n, least), hint: "give a whole number"}
}

// interrupted is an error if somebody outside has ended the session.
func (s *session) interrupted() error {
	if cause := context.Cause(s.ctx); cause != nil && !errors.Is(cause, errEnough) {
		return fmt.Errorf("ended before it was done: %w", cause)
	}
	return nil
}

// failed reports whether the session ended for a reason that is neither its own nor a signal.
func (s *session) failed() bool {
	cause := context.Cause(s.ctx)
	return cause != nil && !errors.Is(cause, errEnough) && !errors.Is(cause, context.Canceled)
}

// terminalFlush is how long what was published may take to the server.
const terminalFlush = 30 * time.Second

func (s *session) flush() error {
	ctx, cancel := context.WithTimeout(s.ctx, terminalFlush)
	defer cancel()
	return s.hub.Flush(ctx)
}

// hinted is an error with what to do about it.
type hinted struct {
	error
	hint string
}

func (e *hinted) Unwrap() error { return e.error }
func (e *hinted) Hint() string  { return e.hint }
