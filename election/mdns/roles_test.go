package mdns

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
	"github.com/miekg/dns"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	lab.Main(map[string]lab.Role{"responder": responderRole, "asker": askerRole})
	goleak.VerifyTestMain(m)
}

// responderRole is a Responder that prints what it hears and announces what it is told. Its
// argument is the IPv4 address to announce.
func responderRole(ctx context.Context, args []string, in <-chan string, out io.Writer) (err error) {
	r, err := Open(Config{QueryInterval: 500 * time.Millisecond, Rescan: 100 * time.Millisecond})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	fmt.Fprintln(out, "ready on", r.Stats().Bus.Interfaces)
	leaf := example()
	if err := leaf.Address.UnmarshalText([]byte(args[0])); err != nil {
		return err
	}
	leaf.NodeID = args[1]
	for {
		select {
		case <-ctx.Done():
			return nil
		case a := <-r.Announcements():
			what := "heard"
			if a.Goodbye {
				what = "goodbye"
			}
			fmt.Fprintf(out, "%s %s/%s epoch=%d at %s:%d wss=%d rtt=%d host=%s extra=%v ttl=%v on %s\n",
				what, a.Namespace, a.NodeID, a.Epoch, a.Address, a.Port, a.WebSocketPort, a.RTT, a.Host, a.Extra, a.TTL, a.Interface)
		case line := <-in:
			switch command, text, _ := strings.Cut(line, " "); command {
			case "announce": // an epoch
				if leaf.Epoch, err = strconv.ParseInt(text, 10, 64); err != nil {
					return err
				}
				leaf.Extra = map[string]string{"ctr": text}
				if err := r.Announce(leaf); err != nil {
					fmt.Fprintln(out, "error:", err)
				}
			case "goodbye":
				if err := r.Goodbye(); err != nil {
					fmt.Fprintln(out, "error:", err)
				}
			case "stats":
				s := r.Stats()
				fmt.Fprintf(out, "stats answers=%d malformed=%d bad=%d oversized=%d\n", s.Answers, s.Malformed, s.Bad, s.Bus.Oversized)
			}
		}
	}
}

// askerRole is a plain DNS client, and a source of nonsense: it asks the group from a port of
// its own, or from 5353 for unicast, and prints what it is answered.
func askerRole(_ context.Context, args []string, in <-chan string, out io.Writer) error {
	local := &net.UDPAddr{}
	if args[0] == "unicast" {
		local.Port = port
	}
	conn, err := net.ListenUDP("udp4", local)
	if err != nil {
		return err
	}
	defer conn.Close()
	group := net.UDPAddrFromAddrPort(Group)
	fmt.Fprintln(out, "ready")
	for line := range in {
		packet := []byte(line)
		if line == "huge" {
			packet = make([]byte, 20000)
		}
		if line == "ask" {
			q := question(ServiceType + " PTR")
			if args[0] == "unicast" {
				q.Question[0].Qclass |= unicastWanted
			}
			if packet, err = q.Pack(); err != nil {
				return err
			}
		}
		if _, err := conn.WriteToUDP(packet, group); err != nil {
			return err
		}
		if line != "ask" {
			continue
		}
		if err := conn.SetReadDeadline(time.Now().Add(lab.AwaitTimeout)); err != nil {
			return err
		}
		buffer := make([]byte, 9000)
		n, from, err := conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return err
		}
		m := new(dns.Msg)
		if err := m.Unpack(buffer[:n]); err != nil {
			return err
		}
		fmt.Fprintf(out, "answer from %s id=%d questions=%d answers=%d extra=%d\n", from, m.Id, len(m.Question), len(m.Answer), len(m.Extra))
	}
	return nil
}
