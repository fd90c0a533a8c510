package multicast

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	lab.Main(map[string]lab.Role{"member": memberRole, "shouter": shouterRole})
	goleak.VerifyTestMain(m)
}

// memberRole is a Bus that prints what it hears and sends what it is told.
func memberRole(ctx context.Context, _ []string, in <-chan string, out io.Writer) (err error) {
	bus, err := Open(Config{Rescan: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bus.Close()) }()
	fmt.Fprintln(out, "ready on", bus.Stats().Interfaces)
	var known string
	look := time.NewTicker(50 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			if now := fmt.Sprint(bus.Stats().Interfaces); now != known {
				known = now
				fmt.Fprintln(out, "interfaces", now)
			}
		case p := <-bus.Packets():
			if len(p.Data) < 100 && !strings.HasPrefix(string(p.Data), "flood") {
				fmt.Fprintf(out, "heard %s from %s on %s\n", p.Data, p.From.Addr(), p.Interface)
			}
		case line := <-in:
			switch command, text, _ := strings.Cut(line, " "); command {
			case "send":
				if err := bus.Send([]byte(text)); err != nil {
					fmt.Fprintln(out, "error:", err)
				}
			case "stats":
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				s := bus.Stats()
				fmt.Fprintf(out, "stats delivered=%d oversized=%d limited=%d repeated=%d overflowed=%d errors=%d heap=%d cpu=%d\n",
					s.Delivered, s.Oversized, s.Limited, s.Repeated, s.Overflowed, s.ReadErrors, m.HeapAlloc, cpuTime().Milliseconds())
			}
		}
	}
}

// shouterRole sends packets as fast as it is told, with a plain socket.
func shouterRole(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	flags := flag.NewFlagSet("shouter", flag.ContinueOnError)
	size := flags.Int("size", 500, "bytes a packet")
	rate := flags.Int("rate", 10, "packets a second")
	lasts := flags.Duration("for", time.Second, "how long")
	if err := flags.Parse(args); err != nil {
		return err
	}
	conn, err := net.DialUDP("udp4", &net.UDPAddr{IP: firstAddress()}, net.UDPAddrFromAddrPort(DefaultGroup))
	if err != nil {
		return err
	}
	defer conn.Close()
	packet := make([]byte, *size)
	sent := 0
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); time.Since(start) < *lasts && ctx.Err() == nil; <-tick.C {
		for due := int(time.Since(start).Seconds()*float64(*rate)) + 1; sent < due; sent++ {
			copy(packet, fmt.Sprintf("flood %d ", sent))
			if _, err := conn.Write(packet); err != nil {
				return err
			}
		}
	}
	fmt.Fprintln(out, "sent", sent)
	return nil
}

// firstAddress is that of the first interface beside lo.
func firstAddress() net.IP {
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() && !p.Addr().IsLoopback() {
			return p.Addr().AsSlice()
		}
	}
	return nil
}

// number returns the value after name= in a line.
func number(t *testing.T, line, name string) (n int) {
	t.Helper()
	_, rest, ok := strings.Cut(line, " "+name+"=")
	if _, err := fmt.Sscan(rest, &n); !ok || err != nil {
		t.Fatalf("no %s in %q: %v", name, line, err)
	}
	return n
}

// atLoopback is a Config for the process of the tests, which leaves no other trace than on lo.
func atLoopback(t *testing.T) Config {
	t.Helper()
	return Config{Group: netip.AddrPortFrom(DefaultGroup.Addr(), freePort(t)), Interfaces: isLoopback}
}

func isLoopback(name string) bool {
	netif, err := net.InterfaceByName(name)
	return err == nil && netif.Flags&net.FlagLoopback != 0
}

func freePort(t *testing.T) uint16 {
	t.Helper()
	conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return uint16(conn.LocalAddr().(*net.UDPAddr).Port)
}
