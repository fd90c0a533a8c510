package multicast

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, c Config) *Bus {
	t.Helper()
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// next returns a packet that must come.
func next(t *testing.T, b *Bus) Packet {
	t.Helper()
	select {
	case p, ok := <-b.Packets():
		if !ok {
			t.Fatal("the bus was closed")
		}
		return p
	case <-time.After(20 * time.Second):
		t.Fatalf("no packet came: %+v", b.Stats())
		panic("unreachable")
	}
}

func TestMembersOfOneMachineHearEachOther(t *testing.T) {
	c := atLoopback(t)
	a, b := open(t, c), open(t, c)
	if err := a.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	for _, bus := range []*Bus{a, b} {
		if p := next(t, bus); string(p.Data) != "hello" || p.From.Port() != c.Group.Port() {
			t.Errorf("got %q from %s, want hello from port %d", p.Data, p.From, c.Group.Port())
		}
	}
}

func TestConfigThatMakesNoSenseIsRefusedInWords(t *testing.T) {
	for _, tt := range []struct {
		config Config
		want   []string
	}{
		{Config{Group: netip.MustParseAddrPort("192.168.1.1:45217")}, []string{"Group", "192.168.1.1:45217", "239.255.42.99"}},
		{Config{Group: netip.MustParseAddrPort("[ff02::1]:45217")}, []string{"Group", "ff02::1", "IPv4"}},
		{Config{Group: netip.MustParseAddrPort("239.255.42.99:0")}, []string{"Group", ":0", "port above 0"}},
		{Config{Group6: netip.MustParseAddrPort("[fe80::1]:45217")}, []string{"Group6", "fe80::1", "ff12::"}},
		{Config{Group6: netip.MustParseAddrPort("[ff12::1%eth0]:45217")}, []string{"Group6", "zone"}},
		{Config{Group6: netip.MustParseAddrPort("239.255.42.99:45217")}, []string{"Group6", "IPv6"}},
		{Config{Rescan: time.Nanosecond}, []string{"Rescan", "1ns", "10ms"}},
		{Config{Rescan: -time.Second}, []string{"Rescan", "-1s"}},
		{Config{MaxPacket: -1}, []string{"MaxPacket", "-1", "65507"}},
		{Config{MaxPacket: 1 << 20}, []string{"MaxPacket", "1048576", "65507"}},
		{Config{TTL: 256}, []string{"TTL", "256", "255"}},
	} {
		b, err := Open(tt.config)
		if err == nil {
			t.Errorf("%+v is accepted", tt.config)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		for _, part := range tt.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: does not say %q", err, part)
			}
		}
	}
}

func TestSendRefusesWhatNobodyWouldHear(t *testing.T) {
	b := open(t, atLoopback(t))
	for _, size := range []int{0, defaultMaxPacket + 1} {
		if err := b.Send(make([]byte, size)); err == nil || !strings.Contains(err.Error(), fmt.Sprint(size)) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if err := b.Send(make([]byte, defaultMaxPacket)); err != nil {
		t.Errorf("the largest: %v", err)
	}
	if err := b.SendOn(1<<20, []byte("x")); !errors.Is(err, ErrNoInterface) {
		t.Errorf("on an interface that is none: %v, want ErrNoInterface", err)
	}
}

func TestNoInterfaceIsAnErrorOfSendAndIsLoggedOnce(t *testing.T) {
	var log strings.Builder
	c := atLoopback(t)
	c.Interfaces = func(string) bool { return false }
	c.Rescan = 10 * time.Millisecond
	c.Logger = slog.New(slog.NewTextHandler(&log, nil))
	b, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Send([]byte("x")); !errors.Is(err, ErrNoInterface) {
		t.Errorf("got %v, want ErrNoInterface", err)
	}
	time.Sleep(100 * time.Millisecond) // of looks at the interfaces
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), ErrNoInterface.Error()); n != 1 {
		t.Errorf("it was logged %d times:\n%s", n, &log)
	}
}

func TestCloseEndsEverything(t *testing.T) {
	b, err := Open(atLoopback(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	if _, ok := <-b.Packets(); ok {
		t.Error("a packet after Close")
	}
	for name, err := range map[string]error{"Send": b.Send([]byte("x")), "SendTo": b.SendTo([]byte("x"), netip.MustParseAddrPort("127.0.0.1:9"))} {
		if !errors.Is(err, net.ErrClosed) {
			t.Errorf("%s after Close: %v, want net.ErrClosed", name, err)
		}
	}
	if err := b.Close(); err != nil {
		t.Errorf("the second Close: %v", err)
	}
}

func TestAnOwnerThatDoesNotReadLosesPacketsOnly(t *testing.T) {
	c := atLoopback(t)
	idle, sender := open(t, c), open(t, c)
	deadline := time.Now().Add(20 * time.Second)
	for i := 0; idle.Stats().Overflowed == 0; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("nothing overflows: %+v", idle.Stats())
		}
		if err := sender.Send(fmt.Appendf(nil, "packet %d", i)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second / sourceRate / 2)
	}
	if d := idle.Stats().Delivered; d != queueLength {
		t.Errorf("%d packets wait, want %d", d, queueLength)
	}
	if p := next(t, idle); string(p.Data) != "packet 0" {
		t.Errorf("the first is %q", p.Data)
	}
}

func TestRepeatsAreKeptForWhoWantsThem(t *testing.T) {
	c := atLoopback(t)
	once := open(t, c)
	c.KeepRepeats = true
	all := open(t, c)
	for range 3 {
		if err := all.Send([]byte("the same")); err != nil {
			t.Fatal(err)
		}
	}
	if err := all.Send([]byte("another")); err != nil {
		t.Fatal(err)
	}
	for bus, want := range map[*Bus]int{all: 3, once: 1} {
		n := 0
		for string(next(t, bus).Data) == "the same" {
			n++
		}
		if n != want {
			t.Errorf("it came %d times, want %d", n, want)
		}
	}
}

func TestSendToReachesOneAddress(t *testing.T) {
	b := open(t, atLoopback(t))
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := b.SendTo([]byte("for you"), conn.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 100)
	n, from, err := conn.ReadFromUDPAddrPort(buffer)
	if err != nil || string(buffer[:n]) != "for you" || from.Port() != b.config.Group.Port() {
		t.Errorf("got %q from %s, %v", buffer[:n], from, err)
	}
}
