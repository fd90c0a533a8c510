package leaf

import (
	"fmt"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// listenerOf takes a listener out of nats-server, so that it can be broken as a system does it.
func listenerOf(t *testing.T, srv *server.Server, path ...string) net.Listener {
	t.Helper()
	v := reflect.ValueOf(srv).Elem()
	for _, name := range path {
		v = v.FieldByName(name)
	}
	ln, ok := reflect.NewAt(v.Type(), unsafe.Pointer(v.UnsafeAddr())).Elem().Interface().(net.Listener)
	if !ok {
		t.Fatalf("nats-server has no listener at %v any more", path)
	}
	return ln
}

func TestWhatDiesIsStartedAgain(t *testing.T) {
	for name, kill := range map[string]func(*Leaf){
		"the client listener":    func(l *Leaf) { listenerOf(t, l.server().Server, "listener").Close() },
		"the WebSocket listener": func(l *Leaf) { listenerOf(t, l.server().Server, "websocket", "listener").Close() },
		"the monitor":            func(l *Leaf) { l.server().monitor.server.Close() },
		"the server":             func(l *Leaf) { l.server().Shutdown() },
		"the manifest":           func(l *Leaf) { l.disc.server.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			l, seen := startLeaf(t, config(t))
			before := l.Status()
			kill(l)
			after := seen.await(t, "a restart", func(s Status) bool { return s.Restarts == 1 && s.Phase == PhaseRunning })
			if after.LastError == "" || after.Ports != before.Ports || after.WSSURL != before.WSSURL {
				t.Errorf("before %+v\nafter %+v", before, after)
			}
			if !seen.any(func(s Status) bool { return s.Phase == PhaseRestarting && s.Manifest == nil }) {
				t.Error("the restart was not reported")
			}
			connect(t, after.ClientURL)
			connect(t, after.WSSURL, nats.Secure(trusting(t, l)))
			res, err := httpClient(t, l).Get(after.DiscoveryURL)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if res.StatusCode != 200 {
				t.Errorf("manifest: %s", res.Status)
			}
		})
	}
}

// The port of a dead server may be taken before it is back.
func TestRestartFindsAnotherPortUnlessItWasAskedFor(t *testing.T) {
	for _, fixed := range []bool{false, true} {
		t.Run(fmt.Sprint(fixed), func(t *testing.T) {
			c := config(t)
			if fixed {
				c.Ports.Client = freePort(t)
			}
			l, seen := startLeaf(t, c)
			port := l.Status().Ports.Client

			l.life.Lock() // Nothing is mended while the port is being stolen.
			end(l.srv)
			thief, err := net.Listen("tcp", at(port))
			l.life.Unlock()
			if err != nil {
				t.Fatal(err)
			}
			defer thief.Close()
			if !fixed {
				s := seen.await(t, "another port", func(s Status) bool { return s.Phase == PhaseRunning && s.Ports.Client != port })
				connect(t, s.ClientURL)
				return
			}
			seen.await(t, "the reason", func(s Status) bool {
				return s.Phase == PhaseRestarting && strings.Contains(s.LastError, ErrPortInUse.Error())
			})
			thief.Close()
			s := seen.await(t, "the port", func(s Status) bool { return s.Phase == PhaseRunning && s.Restarts > 0 })
			if s.Ports.Client != port {
				t.Errorf("client port %d, want %d", s.Ports.Client, port)
			}
		})
	}
}

func TestStopWhileRestarting(t *testing.T) {
	for range 5 {
		l, _ := startLeaf(t, config(t))
		l.server().Shutdown()
		l.nudge()
		stopNow(l)
		if s := l.Status(); s.Phase != PhaseStopped {
			t.Errorf("phase %s", s.Phase)
		}
	}
}

func TestBackoffGrowsToABound(t *testing.T) {
	var got []time.Duration
	for n := range 12 {
		got = append(got, backoff(n))
	}
	if got[0] != 0 || got[1] != 250*time.Millisecond || got[2] != 500*time.Millisecond || got[11] != backoffMost || !slices.IsSorted(got) {
		t.Errorf("%v", got)
	}
}

func TestNextLAN(t *testing.T) {
	at := func(s string) lanAddr { return lanAddr{addr: netip.MustParseAddr(s)} }
	inside := func(s string) lanAddr { return lanAddr{addr: netip.MustParseAddr(s), virtual: true} }
	wifi, cable, lo, docker, wg, local := at("192.168.1.7"), at("10.0.0.5"), at("127.0.0.1"), inside("172.17.0.1"), inside("10.8.0.2"), at("169.254.3.4")
	link := at("fe80::1%eth0")
	for _, c := range []struct {
		current, detected lanAddr
		present           []lanAddr
		want              lanAddr
		after             time.Duration
	}{
		{wifi, wifi, []lanAddr{lo, wifi}, wifi, 0},
		{wifi, cable, []lanAddr{lo, wifi, cable}, wifi, 0}, // Another of its kind is no reason to cut anybody.
		{wifi, cable, []lanAddr{lo, cable}, cable, 0},
		{wifi, lo, []lanAddr{lo}, wifi, 0}, // No LAN: those on loopback stay connected.
		{lo, wifi, []lanAddr{lo, wifi}, wifi, 0},
		{wifi, cable, nil, wifi, 0}, // The system tells nothing.
		{wifi, lanAddr{}, []lanAddr{lo}, wifi, 0},
		// Booted before the LAN was there.
		{docker, cable, []lanAddr{lo, docker, cable}, cable, betterFor},
		{wg, cable, []lanAddr{lo, wg, cable}, cable, betterFor},
		{local, cable, []lanAddr{lo, local, cable}, cable, betterFor},
		{cable, docker, []lanAddr{lo, docker}, docker, goneFor}, // The LAN may come back.
		{cable, local, []lanAddr{lo, local, docker}, local, 0},
		// Without IPv4 each interface still has an address of its link.
		{cable, link, []lanAddr{lo, link, docker}, link, goneFor},
		{link, cable, []lanAddr{lo, link, cable}, cable, 0},
		{lo, link, []lanAddr{lo, link}, link, 0},
	} {
		if got, after := nextLAN(c.current.addr, c.detected.addr, c.present); got != c.want.addr || after != c.after {
			t.Errorf("%v → %v of %v: %v after %v, want %v after %v", c.current, c.detected, c.present, got, after, c.want, c.after)
		}
	}
}

// A better address must have been there all the time, and a LAN that is gone all the time.
func TestLeafMovesWhenABetterAddressLasts(t *testing.T) {
	start := time.Now()
	docker, cable := lanAddr{addr: netip.MustParseAddr("172.17.0.1"), virtual: true}, lanAddr{addr: netip.MustParseAddr("10.0.0.5")}
	present := []lanAddr{docker}
	s := &settings{autoLAN: true, lan: docker.addr, Config: Config{lookup: &lanLookup{
		detect: func() netip.Addr { return chooseLAN(present) }, present: func() []lanAddr { return present }, next: nextLAN, every: lookLAN,
	}}}
	place := placeWatch{}
	movedAfter := func(limit time.Duration) time.Duration {
		for d := time.Duration(0); d <= limit; d += lookLAN {
			start = start.Add(lookLAN)
			if to, move := place.look(start, s); move {
				s.lan = to
				return d
			}
		}
		return -1
	}
	if after := movedAfter(time.Hour); after >= 0 {
		t.Fatalf("moved to %v without a reason", s.lan)
	}
	present = []lanAddr{docker, cable}
	if after := movedAfter(time.Hour); s.lan != cable.addr || after < betterFor {
		t.Fatalf("at %v after %v", s.lan, after)
	}
	present = []lanAddr{docker} // Somebody trips over the cable.
	if after := movedAfter(10 * time.Second); after >= 0 {
		t.Fatalf("moved to %v after %v", s.lan, after)
	}
	present = []lanAddr{docker, cable}
	if after := movedAfter(time.Hour); after >= 0 {
		t.Fatalf("moved to %v when the LAN was back", s.lan)
	}
	present = []lanAddr{docker}
	if after := movedAfter(time.Hour); s.lan != docker.addr || after < goneFor {
		t.Fatalf("at %v after %v", s.lan, after)
	}
	present = []lanAddr{docker, cable}
	if after := movedAfter(time.Hour); s.lan != cable.addr || after < betterFor || after > 2*betterFor {
		t.Errorf("at %v after %v", s.lan, after)
	}
}

// lanOf is a machine whose one LAN address the test changes.
func lanOf(first string) (*lanLookup, func(string)) {
	var addr atomic.Pointer[netip.Addr]
	set := func(s string) {
		a := netip.MustParseAddr(s)
		addr.Store(&a)
	}
	set(first)
	return &lanLookup{
		detect:  func() netip.Addr { return *addr.Load() },
		present: func() []lanAddr { return []lanAddr{{addr: *addr.Load()}} },
		next: func(_, detected netip.Addr, _ []lanAddr) (netip.Addr, time.Duration) {
			return detected, 0 // Loopback addresses stand for those of a LAN here.
		},
		every: 20 * time.Millisecond,
	}, set
}

// All clients at the old address are told to leave, and find the leaf at the new one.
func TestLeafFollowsTheMachineToAnotherAddress(t *testing.T) {
	addrs := []string{"127.0.0.1", "::1"}
	lan, change := lanOf(addrs[0])
	c := config(t)
	c.LANBindAddress, c.lookup = "", lan
	l, seen := startLeaf(t, c)
	before := l.Status()
	if before.LANBindAddress != addrs[0] {
		t.Fatalf("status: %+v", before)
	}
	var gone atomic.Int32
	conns := crowd(t, l, func() { gone.Add(1) })
	begin := time.Now()
	change(addrs[1])
	after := seen.await(t, "the new address", func(s Status) bool { return s.Phase == PhaseRunning && s.LANBindAddress == addrs[1] })
	for deadline := time.Now().Add(patience); int(gone.Load()) < len(conns); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%d of %d clients at the old address have ended", gone.Load(), len(conns))
		}
	}
	t.Logf("%d clients were sent away, and the leaf was at the new address, after %v", len(conns), time.Since(begin).Round(time.Millisecond))
	if after.Ports != before.Ports || after.AdvertisedHostname != addrs[1] || after.Manifest == nil || after.Manifest.WSSURL != after.WSSURL {
		t.Errorf("after: %+v", after)
	}
	gone.Store(0)
	for _, nc := range crowd(t, l, func() { gone.Add(1) }) { // The certificate names the new address.
		if err := nc.FlushTimeout(patience); err != nil {
			t.Error(err)
		}
	}
	if n := gone.Load(); n > 0 {
		t.Errorf("%d clients at the new address were cut", n)
	}
	if _, err := net.Dial("tcp", net.JoinHostPort(addrs[0], fmt.Sprint(before.Ports.WebSocket))); err == nil {
		t.Error("the old address is still served")
	}
}

func (c *changes) any(ok func(Status) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.ContainsFunc(c.all, ok)
}
