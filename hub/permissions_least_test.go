//go:build !js

// Leaves run natively only.

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// documented are the permissions of user u in the sections of docs/permissions.md.
func documented(t *testing.T) map[string]*server.Permissions {
	text, err := os.ReadFile("../docs/permissions.md")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*server.Permissions{}
	for _, m := range regexp.MustCompile("(?s)\n## ([^\n]+)\n[^#]*?```conf\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		file := filepath.Join(t.TempDir(), "server.conf")
		if err := os.WriteFile(file, []byte(m[2]), 0o600); err != nil {
			t.Fatal(err)
		}
		o, err := server.ProcessConfigFile(file)
		if err != nil || len(o.Users) != 1 || o.Users[0].Username != "u" {
			t.Fatalf("%s: %v", m[1], err)
		}
		all[m[1]] = o.Users[0].Permissions
	}
	return all
}

// The least sets of docs/permissions.md are enough, without any complaint, and each subject of them is needed.
func TestPermissionsAreTheLeast(t *testing.T) {
	roles := map[string]func(*testing.T, *server.Permissions) error{
		"Subscriber": playSubscriber, "Publisher": playPublisher, "Requester": playRequester, "Service": playService,
		"Moves": playMoves, "Discovery": playDiscovery,
		"Discovery through the session": playSession,
		"Values that stay, reader":      playReader,
		"Values that stay, writer":      playWriter,
		"Presence, watcher":             playPresenceWatcher,
		"Presence, member":              playPresenceMember,
		"Repairs, subscriber":           func(t *testing.T, p *server.Permissions) error { return playRepairs(t, p, "u", "admin") },
		"Repairs, publisher":            func(t *testing.T, p *server.Permissions) error { return playRepairs(t, p, "admin", "u") },
	}
	sets := documented(t)
	if len(sets) != len(roles) {
		t.Fatalf("docs/permissions.md has %d sets, want %d", len(sets), len(roles))
	}
	for role, play := range roles {
		set := sets[role]
		if set == nil {
			t.Fatalf("docs/permissions.md has no section %q with a configuration", role)
		}
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			if err := play(t, set); err != nil {
				t.Error(err)
			}
		})
		for i := range set.Publish.Allow {
			t.Run(role+" without publishing to "+set.Publish.Allow[i], func(t *testing.T) {
				t.Parallel()
				less := only(slices.Delete(slices.Clone(set.Publish.Allow), i, i+1), set.Subscribe.Allow)
				less.Response = set.Response
				if play(t, less) == nil {
					t.Error("it works: the subject is not needed")
				}
			})
		}
		for i := range set.Subscribe.Allow {
			t.Run(role+" without subscribing to "+set.Subscribe.Allow[i], func(t *testing.T) {
				t.Parallel()
				less := only(set.Publish.Allow, slices.Delete(slices.Clone(set.Subscribe.Allow), i, i+1))
				less.Response = set.Response
				if play(t, less) == nil {
					t.Error("it works: the subject is not needed")
				}
			})
		}
		if set.Response != nil {
			t.Run(role+" without allow_responses", func(t *testing.T) {
				t.Parallel()
				if play(t, only(set.Publish.Allow, set.Subscribe.Allow)) == nil {
					t.Error("it works: allow_responses is not needed")
				}
			})
		}
	}
}

// complained is an error if a hub has reported any.
func complained(h *hub.Hub, told chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Flush(ctx); err != nil {
		return err
	}
	select {
	case err := <-told:
		return err
	default:
		return nil
	}
}

func administrator(t *testing.T, s *server.Server) *hub.Hub {
	return openHub(t, hub.Config{Servers: []string{as("admin", s)}, NoNumbers: true})
}

func playSubscriber(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	got := make(chan any, 10)
	v := h.Scope("sensors").Variable("temp")
	if _, err := v.Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		return err
	}
	if err := administrator(t, s).Scope("sensors").Variable("temp").Pub(soon(t), 21); err != nil {
		t.Fatal(err)
	}
	if err := arrives(got, 21.0); err != nil {
		return err
	}
	if v.Value() != 21.0 {
		return fmt.Errorf("the value is %v", v.Value())
	}
	return complained(h, told)
}

// playReader comes after a value was set, and hears the next.
func playReader(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	a := administrator(t, s)
	admin := a.Scope("sensors").Variable("temp")
	if err := admin.Set(soon(t), 21); err != nil || a.Flush(soon(t)) != nil {
		t.Fatal(err)
	}
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	v := h.Scope("sensors").Variable("temp")
	if err := v.Ready(soon(t)); err != nil || v.Value() != 21.0 {
		return fmt.Errorf("%v, %w", v.Value(), err)
	}
	if err := complained(h, told); err != nil {
		return err
	}
	if err := admin.Set(soon(t), 22); err != nil {
		t.Fatal(err)
	}
	return becomes(v, 22.0)
}

// playWriter sets a value before others come.
func playWriter(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	v := h.Scope("sensors").Variable("temp")
	if err := v.Set(soon(t), 21); err != nil {
		return err
	}
	if err := complained(h, told); err != nil {
		return err
	}
	other := administrator(t, s).Scope("sensors").Variable("temp")
	if err := other.Ready(soon(t)); err != nil || other.Value() != 21.0 {
		return fmt.Errorf("who comes later sees %v, %w", other.Value(), err)
	}
	if err := other.Set(soon(t), 22); err != nil {
		t.Fatal(err)
	}
	return errors.Join(becomes(v, 22.0), complained(h, told))
}

// seen is an error unless a scope has soon n members.
func seen(p *hub.Presence, n int) error {
	for end := time.Now().Add(3 * time.Second); len(p.Members()) != n; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d members are seen, want %d", len(p.Members()), n)
		}
	}
	return nil
}

// playPresenceWatcher comes after a member has come, and sees another come, and both leave.
func playPresenceWatcher(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	a := administrator(t, s)
	first, second, called := a.Scope("room").Presence(), administrator(t, s).Scope("room").Presence(), callsIn(t, a)
	if err := errors.Join(first.Join(1), first.Ready(soon(t))); err != nil {
		t.Fatal(err)
	}
	called() // it has said that it came, and will say nothing for some seconds
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	room := h.Scope("room").Presence()
	if err := errors.Join(room.Ready(soon(t)), seen(room, 1)); err != nil {
		return err
	}
	if err := second.Join(2); err != nil {
		t.Fatal(err)
	}
	if err := seen(room, 2); err != nil {
		return err
	}
	first.Leave()
	second.Leave()
	return errors.Join(seen(room, 0), complained(h, told))
}

// callsIn returns what waits for the next call of a member of the scope "room" that a hears.
func callsIn(t *testing.T, a *hub.Hub) (next func()) {
	t.Helper()
	calls := make(chan any)
	if _, err := a.Subscribe("_KH.here.room", hub.SubOptions{}, func(m *hub.Message) {
		if strings.HasPrefix(string(m.Data), "call ") {
			select {
			case calls <- nil: // somebody waits
			default:
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		select {
		case <-calls:
		case <-soon(t).Done():
			t.Fatal("nobody calls")
		}
	}
}

// playPresenceMember comes when another member calls already, stays when one has died without a word, and calls when the other has left.
func playPresenceMember(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	a := administrator(t, s)
	first, called := a.Scope("room").Presence(), callsIn(t, a)
	if err := first.Join(1); err != nil {
		t.Fatal(err)
	}
	called()
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	room := h.Scope("room").Presence()
	if err := errors.Join(room.Join(2), room.Ready(soon(t)), seen(room, 2), seen(first, 2), complained(h, told)); err != nil {
		return err
	}
	later := administrator(t, s).Scope("room").Presence()
	if err := later.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	if err := seen(later, 2); err != nil {
		return err
	}
	address, shut, _ := gated(t, s.Addr().String())
	dies := openHub(t, hub.Config{Servers: []string{"nats://admin:p@" + address}})
	if err := dies.Scope("room").Presence().Join(3); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(seen(later, 3), seen(room, 3)); err != nil {
		return err
	}
	shut()
	for end := time.Now().Add(40 * time.Second); len(later.Members()) != 2; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("%d members are seen long after one has died", len(later.Members()))
		}
	}
	first.Leave()
	if err := errors.Join(seen(room, 1), complained(h, told)); err != nil {
		return err
	}
	called()
	last := administrator(t, s).Scope("room").Presence() // which nobody else can answer
	if err := last.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	return errors.Join(seen(last, 1), seen(room, 1), complained(h, told))
}

// becomes is an error unless v's value is soon want.
func becomes(v *hub.Variable, want any) error {
	for end := time.Now().Add(5 * time.Second); v.Value() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("the value is %v, want %v", v.Value(), want)
		}
	}
	return nil
}

func playPublisher(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	got := make(chan any, 10)
	if _, err := administrator(t, s).Scope("sensors").Variable("temp").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	if err := h.Scope("sensors").Variable("temp").Pub(soon(t), 21); err != nil {
		return err
	}
	return errors.Join(complained(h, told), arrives(got, 21.0))
}

func playRequester(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	if _, err := administrator(t, s).Scope("math").Variable("add").Serve(soon(t), func(context.Context, *hub.Message) (any, error) { return 3, nil }); err != nil {
		t.Fatal(err)
	}
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	m, err := h.Scope("math").Variable("add").Req(soon(t), []int{1, 2})
	if err != nil || m.Value() != 3.0 {
		return fmt.Errorf("%v, %w", m, err)
	}
	return complained(h, told)
}

func playService(t *testing.T, p *server.Permissions) error {
	s := startServer(t, permitting(p))
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}})
	told := complaints(h)
	if _, err := h.Scope("math").Variable("add").Serve(soon(t), func(context.Context, *hub.Message) (any, error) { return 3, nil }); err != nil {
		return err
	}
	admin := administrator(t, s)
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		m, err := admin.Scope("math").Variable("add").Req(ctx, []int{1, 2})
		if err != nil || m.Value() != 3.0 {
			return fmt.Errorf("%v, %w (%w)", m, err, complained(h, told))
		}
	}
	return complained(h, told)
}

func playMoves(t *testing.T, p *server.Permissions) error {
	sys := startSystemWith(t, permitting(p), permitting(p))
	h := openHub(t, hub.Config{Servers: []string{as("u", sys.backbone)}})
	told := complaints(h)
	got := make(chan any, 10)
	if _, err := h.Scope("sensors").Variable("temp").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		return err
	}
	if err := h.MoveTo(as("u", sys.leaf)); err != nil {
		return err
	}
	if err := administrator(t, sys.backbone).Scope("sensors").Variable("temp").Pub(soon(t), 21); err != nil {
		t.Fatal(err)
	}
	return errors.Join(arrives(got, 21.0), complained(h, told))
}

func playDiscovery(t *testing.T, p *server.Permissions) error {
	backbone := startServer(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port = "127.0.0.1", -1
		permitting(p)(o)
	})
	leaf := startLeaf(t, backbone, 0, func(o *server.Options) {
		o.LeafNode.Remotes[0].URLs[0].User = url.UserPassword("bridge", "p")
		withWebSocket(o)
	})
	manifest := serveManifest(t)
	h := openHub(t, hub.Config{
		Servers:   []string{as("u", backbone)},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: manifest.URL, CacheTTL: 10 * time.Millisecond},
	})
	told, made := complaints(h), moves(h)
	got := make(chan any, 10)
	if _, err := h.Scope("sensors").Variable("temp").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		return err
	}
	manifest.leaf(webSocketURL(t, leaf))
	if m := nextMove(t, made); m.Err != nil || m.Via != "leaf" {
		return fmt.Errorf("moved %+v", m)
	}
	if err := administrator(t, backbone).Scope("sensors").Variable("temp").Pub(soon(t), 21); err != nil {
		t.Fatal(err)
	}
	return errors.Join(arrives(got, 21.0), complained(h, told))
}

// playSession finds a leaf that comes later, and that is closed to all who have no ticket.
func playSession(t *testing.T, p *server.Permissions) error {
	backbone := startServer(t, func(o *server.Options) {
		withLeaves(o)
		permitting(p)(o)
	})
	warned := make(chan error, 100)
	h := openHub(t, hub.Config{
		Servers: []string{as("u", backbone)}, Logger: alarms{warned},
		Discovery: hub.Discovery{Enabled: true, Namespace: "studio", NamespaceKey: keyOf(t, "studio")},
	})
	told := complaints(h)
	got := make(chan any, 10)
	if _, err := h.Scope("sensors").Variable("temp").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		return err
	}
	l := startRealLeaf(t, bridgeTo(t, backbone, url.UserPassword("bridge", "p")), func(c *leaf.Config) { c.Access.Tickets = true })
	for end := time.Now().Add(10 * time.Second); h.Status().Server != l.Status().WSSURL; time.Sleep(5 * time.Millisecond) {
		select {
		case err := <-warned:
			return err
		default:
		}
		if time.Now().After(end) {
			return fmt.Errorf("the hub is on %s: %+v", h.Status().Server, h.DiscoveryStatus())
		}
	}
	if err := administrator(t, backbone).Scope("sensors").Variable("temp").Pub(soon(t), 21); err != nil {
		t.Fatal(err)
	}
	return errors.Join(arrives(got, 21.0), complained(h, told))
}

// alarms are a Logger's lines that need attention.
type alarms struct{ told chan error }

func (w alarms) Debug(string, ...any) {}
func (w alarms) Warn(msg string, args ...any) {
	if !strings.Contains(msg, "through the session") {
		return // other things need other permissions
	}
	select {
	case w.told <- fmt.Errorf("%s %v", msg, args):
	default:
	}
}
func (w alarms) Error(msg string, args ...any) { w.Warn(msg, args...) }

// playRepairs cuts a subscriber off while a publisher goes on, and then is silent.
func playRepairs(t *testing.T, p *server.Permissions, subscriber, publisher string) error {
	s := startServer(t, permitting(p))
	address, cut := cuttable(t, s.Addr().String())
	gate := make(chan struct{}, 1)
	gate <- struct{}{}
	auth := func(ctx context.Context, _ string) (hub.Auth, error) {
		select {
		case <-gate:
			return hub.Auth{User: subscriber, Password: "p"}, nil
		case <-ctx.Done():
			return hub.Auth{}, ctx.Err()
		}
	}
	h := openHub(t, hub.Config{Servers: []string{address}, Authenticator: auth, ReconnectTimeout: time.Minute})
	from := openHub(t, hub.Config{Servers: []string{as(publisher, s)}})
	told := []chan error{complaints(h), complaints(from)}
	var came atomic.Int64
	if _, err := h.Scope("sensors").Variable("temp").Sub(soon(t), func(*hub.Message) { came.Add(1) }); err != nil {
		return err
	}
	pub := func() error { return from.Scope("sensors").Variable("temp").Pub(soon(t), 1) }
	if err := pub(); err != nil {
		return err
	}
	for end := time.Now().Add(5 * time.Second); came.Load() < 1; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			return errors.New("nothing comes at all")
		}
	}
	cut()
	waitFor(t, "the loss", func() bool { return h.State() != hub.StateConnected })
	for range 9 {
		if err := pub(); err != nil {
			return err
		}
	}
	if err := from.Flush(soon(t)); err != nil {
		return err
	}
	gate <- struct{}{}
	if err := h.Connected(soon(t)); err != nil {
		return err
	}
	for end := time.Now().Add(6 * time.Second); came.Load() < 10; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) || h.Status().Missing > 0 {
			return fmt.Errorf("%d of 10 messages came", came.Load())
		}
	}
	return errors.Join(complained(h, told[0]), complained(from, told[1]))
}
