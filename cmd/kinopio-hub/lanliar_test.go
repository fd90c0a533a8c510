package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/ipv4"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// playLiar repeats the leader's heartbeats with WebSocket URLs of its own, five times a second,
// ahead of the leader's count. It says "lied N" with each.
func playLiar(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	card, err := net.InterfaceByName("eth0")
	if err != nil {
		return err
	}
	group := net.UDPAddrFromAddrPort(lab.PeerGroup)
	in, err := net.ListenMulticastUDP("udp4", card, group)
	if err != nil {
		return err
	}
	defer in.Close()
	defer context.AfterFunc(ctx, func() { in.Close() })()
	conn, err := net.ListenPacket("udp4", "0.0.0.0:0")
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := ipv4.NewPacketConn(conn).SetMulticastInterface(card); err != nil {
		return err
	}
	var copied map[string]any
	buffer := make([]byte, 65536)
	lies := 0
	var last time.Time
	for ctx.Err() == nil {
		if err := in.SetReadDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
			return nil // It ends.
		}
		if n, _, err := in.ReadFromUDP(buffer); err == nil {
			var heard map[string]any
			if json.Unmarshal(buffer[:n], &heard) == nil && heard["nodeId"] == args[0] && heard["isLeader"] == true && heard["wssUrl"] != args[1] {
				copied = heard
			}
		}
		if copied == nil || time.Since(last) < 200*time.Millisecond {
			continue
		}
		last = time.Now()
		seq, _ := copied["seq"].(float64)
		copied["wssUrl"], copied["websocketUrl"], copied["seq"], copied["instance"] = args[1], args[1], seq+1_000_000+float64(lies), "liar"
		copied["bridgeState"] = []string{"connected", "disconnected"}[lies%2]
		delete(copied, "mac")
		packet, err := json.Marshal(copied)
		if err != nil {
			return err
		}
		if _, err := conn.WriteTo(packet, group); err != nil {
			continue
		}
		lies++
		fmt.Fprintln(out, "lied", lies)
	}
	return nil
}

// One datagram a second used to send every page of a follower, with its token, to the liar.
func TestLiarOnTheLANIsNotServedByAFollower(t *testing.T) {
	network := lab.New(t)
	a, b, attacker := network.Host("a"), network.Host("b"), network.Host("attacker")
	first := auto(t, a, "node-a")
	first.Await(leading)
	second := auto(t, b, "node-b", "--discovery-port", "4321")
	second.Await(following, `"nodeId":"node-a"`, a.Address.String())
	evil := fmt.Sprintf("wss://%s:6666", attacker.Address)
	liar := attacker.Play("liar", "node-a", evil)
	liar.Await("lied 3")
	for _, lies := range []int{10, 15, 20, 25, 30} { // As others come in between.
		liar.Await(fmt.Sprintf("lied %d", lies))
		m := manifestOn(t, b, "http://127.0.0.1:4321/.well-known/kinopio-leader.json")
		for _, field := range []string{"wssUrl", "websocketUrl"} {
			if url, _ := m[field].(string); !strings.Contains(url, a.Address.String()) {
				t.Fatalf("%s is %s after %d lies, and the leader is at %s", field, url, lies, a.Address)
			}
		}
	}
	if said := second.Said(); strings.Contains(said, evil) {
		t.Errorf("the status has told of %s:\n%s", evil, said)
	}
	liar.Stop()
	second.Stop()
	first.Stop()
}
