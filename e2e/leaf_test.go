package e2e

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// leafStatus is what these tests read of a leaf's status document.
type leafStatus struct {
	Phase          string         `json:"phase"`
	BridgeState    string         `json:"bridgeState"`
	WSSURL         string         `json:"wssUrl"`
	DiscoveryURL   string         `json:"discoveryUrl"`
	ClientURL      string         `json:"clientUrl"`
	LANBindAddress string         `json:"lanBindAddress"`
	RuntimeDir     string         `json:"runtimeDir"`
	Ports          map[string]int `json:"ports"`
	TLS            struct {
		CACertFile string `json:"caCertFile"`
	} `json:"tls"`
}

// awaitLeaf reads status documents until one is as wanted.
func awaitLeaf(t *testing.T, p *process, what string, ok func(leafStatus) bool) leafStatus {
	t.Helper()
	late := time.After(patience)
	var last string
	for {
		select {
		case line, more := <-p.lines:
			if !more {
				t.Fatalf("%s: the leaf has ended; it said: %s", what, p.complaints())
			}
			var s leafStatus
			if err := json.Unmarshal([]byte(line), &s); err != nil {
				t.Fatalf("not a status document: %v: %s", err, line)
			}
			if last = line; ok(s) {
				return s
			}
		case <-late:
			t.Fatalf("%s: not within %v; last: %s; it said: %s", what, patience, last, p.complaints())
		}
	}
}

func running(s leafStatus) bool { return s.Phase == "running" }

// call runs the program to its end and returns what it printed.
func call(t *testing.T, env []string, program string, args ...string) string {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Env = append(cmd.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", program, strings.Join(args, " "), err, out)
	}
	return string(out)
}
