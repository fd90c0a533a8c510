package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// playSilent opens as many connections as said to an address, says "open", and then how many have been
// ended, each second. It sends what its third argument says, and nothing more.
func playSilent(ctx context.Context, args []string, _ <-chan string, out io.Writer) error {
	many, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var ended atomic.Int32
	for range many {
		conn, err := net.DialTimeout("tcp", args[1], 5*time.Second)
		if err != nil {
			ended.Add(1)
			continue
		}
		defer conn.Close()
		go func() {
			_, _ = conn.Write([]byte(args[2]))
			_, _ = conn.Read(make([]byte, 1))
			ended.Add(1)
		}()
	}
	fmt.Fprintln(out, "open")
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
			fmt.Fprintln(out, "ended", ended.Load())
		}
	}
	return nil
}

// One who opens more connections than the process has descriptors, and says nothing or next to nothing,
// keeps others from a leaf for seconds, not minutes.
func TestSilentConnectionsDoNotTakeALeafAway(t *testing.T) {
	for name, says := range map[string]string{"nothing": "", "half a greeting": "\x16\x03\x01"} {
		t.Run(name, func(t *testing.T) {
			network := lab.New(t)
			host, attacker, guest := network.Host("a"), network.Host("attacker"), network.Host("guest")
			p := host.Start("leaf start", host.Command(context.Background(), "prlimit", "--nofile=300:300", "kinopio-hub", "leaf", "start",
				"--discovery-namespace", "test", "--cache-dir", t.TempDir(), "--json-lines", "--parent-pipe"))
			var status struct{ WSSURL, DiscoveryURL string }
			if err := json.Unmarshal([]byte(p.Await(`"phase":"running"`)), &status); err != nil {
				t.Fatal(err)
			}
			u, err := url.Parse(status.WSSURL)
			if err != nil {
				t.Fatal(err)
			}
			attacker.Play("silent", "400", u.Host, says).Await("open")
			began := time.Now()
			for _, at := range []string{status.DiscoveryURL, strings.Replace(status.WSSURL, "wss", "https", 1)} {
				for {
					// A WebSocket listener answers a plain request with an error of its own.
					out, _ := guest.Command(t.Context(), "curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", at).CombinedOutput()
					if string(out) == "200" || string(out) == "400" {
						break
					}
					if time.Since(began) > 45*time.Second { // It was 75 s.
						t.Fatalf("%s does not answer another host for %v: %s", at, time.Since(began), out)
					}
				}
			}
			t.Logf("all answer another host after %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// The limits are for who is no client yet: clients stay, however many there are.
func TestClientsAreNotSwept(t *testing.T) {
	network := lab.New(t)
	host, guest := network.Host("a"), network.Host("guest")
	p := host.Start("leaf start", host.Command(context.Background(), "prlimit", "--nofile=300:300", "kinopio-hub", "leaf", "start",
		"--discovery-namespace", "test", "--no-websocket-tls", "--json-lines", "--parent-pipe"))
	var status struct{ WSSURL string }
	if err := json.Unmarshal([]byte(p.Await(`"phase":"running"`)), &status); err != nil {
		t.Fatal(err)
	}
	crowd := guest.Play("crowd", "60", status.WSSURL)
	crowd.Await("connected 60")
	time.Sleep(4 * time.Second) // of looks, of which one comes each second
	crowd.Say("count")
	crowd.Await("still 60")
}

// playCrowd connects as many clients as said to a server, and says how many still are when asked.
func playCrowd(_ context.Context, args []string, in <-chan string, out io.Writer) error {
	many, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	var all []*nats.Conn
	for range many {
		nc, err := nats.Connect(args[1], nats.NoReconnect())
		if err != nil {
			return err
		}
		defer nc.Close()
		all = append(all, nc)
	}
	fmt.Fprintln(out, "connected", len(all))
	for range in {
		still := 0
		for _, nc := range all {
			if nc.FlushTimeout(5*time.Second) == nil {
				still++
			}
		}
		fmt.Fprintln(out, "still", still)
	}
	return nil
}

// Loopback is open to all users of a machine. Who opens connections there and says nothing takes no descriptors away that others need.
func TestSilentConnectionsOnLoopbackDoNotTakeALeafAway(t *testing.T) {
	network := lab.New(t)
	host, guest := network.Host("a"), network.Host("guest")
	p := host.Start("leaf auto", host.Command(context.Background(), "prlimit", "--nofile=300:300", "kinopio-hub", "leaf", "auto", "--discovery-namespace", "test",
		"--monitor-port", "8222", "--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir(), "--json-lines", "--parent-pipe"))
	var status struct {
		ManifestURL string
		Leader      struct{ DiscoveryURL string }
	}
	if err := json.Unmarshal([]byte(p.Await(leading, host.Address.String())), &status); err != nil {
		t.Fatal(err)
	}
	local, err := url.Parse(status.ManifestURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{local.Host, "127.0.0.1:8222"} {
		host.Play("silent", "400", at, "").Await("open")
		began := time.Now()
		for {
			out, _ := guest.Command(t.Context(), "curl", "-sk", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", status.Leader.DiscoveryURL).CombinedOutput()
			if string(out) == "200" {
				break
			}
			if time.Since(began) > 45*time.Second {
				t.Fatalf("with silent connections to %s the manifest does not answer another host for %v: %s", at, time.Since(began), out)
			}
		}
		t.Logf("beside 400 connections to %s it answers after %v", at, time.Since(began).Round(time.Millisecond))
	}
}
