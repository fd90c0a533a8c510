package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// playImpostor announces itself, whose address and folder are its arguments, as the leaf of «test», under many names and at a
// port that takes connections and says nothing, too. It says "announced N", and "read by ADDRESS" when somebody reads its manifest.
func playImpostor(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	ca, err := tlsca.Open(args[1], tlsca.Options{})
	if err != nil {
		return err
	}
	address := netip.MustParseAddr(args[0])
	certificate, err := ca.Issue(tlsca.Request{Hostname: args[0], IPs: []netip.Addr{address}})
	if err != nil {
		return err
	}
	web, err := tls.Listen("tcp", args[0]+":0", &tls.Config{Certificates: []tls.Certificate{certificate.TLS}})
	if err != nil {
		return err
	}
	defer web.Close()
	silent, err := net.Listen("tcp", args[0]+":0")
	if err != nil {
		return err
	}
	defer silent.Close()
	server := &http.Server{ErrorLog: log.New(io.Discard, "", 0), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(out, "read by", r.RemoteAddr)
		_ = json.NewEncoder(w).Encode(leaf.Manifest{Version: "1", ExpiresAt: time.Now().Add(time.Minute).UTC().Format(time.RFC3339),
			WSSURL: "wss://" + web.Addr().String(), DiscoveryNamespace: "test", IsLeader: true})
	})}
	go func() { _ = server.Serve(web) }() // Until it is closed.
	defer server.Close()
	mouth, err := mdns.Open(mdns.Config{})
	if err != nil {
		return err
	}
	defer mouth.Close()
	for n := 0; ctx.Err() == nil; n++ {
		at := web
		if n%2 == 1 {
			at = silent
		}
		said := mdns.Leaf{Namespace: "test", NodeID: "impostor", Host: args[0], Epoch: int64(1000 + n%20), WebSocketPort: 1, WebSocketProtocol: "wss",
			DiscoveryProtocol: "https", RTT: 0, Port: uint16(at.Addr().(*net.TCPAddr).Port), Address: address}
		if err := mouth.Announce(said); err != nil {
			return err
		}
		fmt.Fprintln(out, "announced", n)
		select {
		case <-ctx.Done():
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Whoever shouts loudest on the LAN is not believed, and keeps nobody from the leaf.
func TestTerminalIsNotFooledOnTheLAN(t *testing.T) {
	cache, secret := t.TempDir(), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(secret, []byte("a token of this test"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLAN(t, 2, "--cache-dir", cache, "--access-token-file", secret)
	l.start(0)
	l.leads([]int{0})
	attacker := l.network.Host("attacker")
	impostor := attacker.Play("impostor", attacker.Address.String(), t.TempDir())
	impostor.Await("announced 50")
	for range 3 {
		c := toolOn(t, l.hosts[1], cache, "sub", "robot.>", "--discovery-namespace", "test", "--token-file", secret, "--timeout", "100ms")
		if _, said, code := c.end(); code != 0 || !strings.Contains(said, "at wss://"+l.hosts[0].Address.String()) {
			t.Errorf("exit code %d\n%s", code, said)
		}
	}
	// Agents read the manifest of whoever claims to lead; the command does not get that far.
	if said := impostor.Said(); strings.Contains(said, "read by "+l.hosts[1].Address.String()+":") {
		t.Error("the impostor's manifest was read")
	}
}
