package main

import (
	"context"
	"encoding/json"
	"os/exec"
	"reflect"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// auto runs leaf auto on a host. It ends when its standard input does.
func auto(t *testing.T, h *lab.Host, node string, more ...string) *lab.Process {
	t.Helper()
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		t.Fatal(err)
	}
	args := append([]string{"leaf", "auto", "--discovery-namespace", "test", "--node-id", node, "--json-lines", "--parent-pipe",
		"--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()}, more...)
	return h.Start("leaf auto", h.Command(context.Background(), program, args...))
}

const (
	leading   = `"state":"leader"`
	following = `"state":"following-leader"`
)

func TestLeafAutoKeepsOneLeafOnTheLAN(t *testing.T) {
	network := lab.New(t)
	a, b := network.Host("a"), network.Host("b")
	first := auto(t, a, "node-a")
	first.Await(leading)
	second := auto(t, b, "node-b", "--discovery-port", "4321")
	line := second.Await(following, `"nodeId":"node-a"`, a.Address.String())

	var status struct{ ManifestURL string }
	if err := json.Unmarshal([]byte(line), &status); err != nil {
		t.Fatal(err)
	}
	if status.ManifestURL != "http://127.0.0.1:4321/.well-known/kinopio-leader.json" {
		t.Errorf("manifest at %s", status.ManifestURL)
	}
	m := manifestOn(t, b, status.ManifestURL)
	if m["nodeId"] != "node-a" || m["isLeader"] != true || m["leaderEpoch"] != 1.0 || m["leaseExpiresAt"] == nil {
		t.Errorf("on the follower's loopback: %v", m)
	}

	began := time.Now()
	first.Stop()
	second.Await(leading)
	t.Logf("the successor led %v after the leader was asked to leave", time.Since(began))
	if m := manifestOn(t, b, status.ManifestURL); m["nodeId"] != "node-b" || m["leaderEpoch"] != 2.0 {
		t.Errorf("on the new leader's loopback: %v", m)
	}
	second.Stop()
}

func TestLeafAutoTakesOverFromAKilledLeader(t *testing.T) {
	network := lab.New(t)
	a, b := network.Host("a"), network.Host("b")
	secret := []string{"--namespace-secret", "a secret of this test", "--leader-missing-grace-ms", "3600000"}
	first := auto(t, a, "node-a", secret...)
	first.Await(leading)
	second := auto(t, b, "node-b", append(secret, "--fast-failover")...)
	second.Await(following, `"nodeId":"node-a"`, a.Address.String())
	time.Sleep(time.Second) // The connection to the leader is being made; nothing tells when it is.
	began := time.Now()
	first.Kill()
	second.Await(leading)
	t.Logf("took over %v after the kill, without the grace of an hour", time.Since(began))
	second.Stop()
}

// Who follows serves the leader's whole manifest where its secret proves that: nobody else tells pages of
// this machine whom to trust.
func TestLeafAutoFollowersSayWhomToTrust(t *testing.T) {
	for name, secret := range map[string][]string{"secret": {"--namespace-secret", "a secret of this test"}, "no secret": nil} {
		t.Run(name, func(t *testing.T) {
			network := lab.New(t)
			a, b := network.Host("a"), network.Host("b")
			first := auto(t, a, "node-a", secret...)
			var own struct {
				ManifestURL string
				Leader      map[string]any
			}
			if err := json.Unmarshal([]byte(first.Await(leading, `"webTransport":[{`)), &own); err != nil {
				t.Fatal(err)
			}
			second := auto(t, b, "node-b", append(secret, "--discovery-port", "4321")...)
			second.Await(following, `"nodeId":"node-a"`, a.Address.String())
			const url = "http://127.0.0.1:4321/.well-known/kinopio-leader.json"
			m := manifestOn(t, b, url)
			for deadline := time.Now().Add(lab.AwaitTimeout); secret != nil && m["rootPem"] == nil && time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
				m = manifestOn(t, b, url)
			}
			told := m["rootPem"] != nil && m["webTransport"] != nil
			if told != (secret != nil) {
				t.Errorf("the follower serves %v", m)
			}
			if told && (!reflect.DeepEqual(m["webTransport"], own.Leader["webTransport"]) || m["rootPem"] != own.Leader["rootPem"]) {
				t.Errorf("the follower serves %v, the leader %v", m, own.Leader)
			}
			second.Stop()
			first.Stop()
		})
	}
}

// manifestOn waits for a manifest at url: there is none before enough is known of the leader.
func manifestOn(t *testing.T, h *lab.Host, url string) map[string]any {
	t.Helper()
	var out []byte
	for deadline := time.Now().Add(lab.AwaitTimeout); len(out) == 0; time.Sleep(20 * time.Millisecond) {
		var err error
		if out, err = h.Command(t.Context(), "curl", "-sf", "--max-time", "10", url).Output(); err != nil {
			t.Fatalf("read %s: %v", url, err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("no manifest at %s within %v", url, lab.AwaitTimeout)
		}
	}
	var m map[string]any
	if err := json.Unmarshal(out, &m); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return m
}
