package e2e

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"
)

func TestKilledDemoTakesItsLeafAlong(t *testing.T) {
	d := startDemo(t, "--leaf-after", "1ms")
	d.until("the leaf is running", leafIs("running"))
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.ended
	begin := time.Now()
	waitUntil(t, "the leaf has ended", func() bool { return !alive(d.pids[0]) })
	t.Logf("the leaf ended %v after its demo was killed", time.Since(begin).Round(time.Millisecond))
}

func TestInterruptedDemoEndsEverything(t *testing.T) {
	d := startDemo(t, "--leaf-after", "1ms")
	d.until("the leaf is running", leafIs("running"))
	took := d.end()
	if took > 3*time.Second || d.cmd.ProcessState.ExitCode() != 0 {
		t.Errorf("the demo ended after %v with exit code %d, want 3 s at most and 0: %s", took, d.cmd.ProcessState.ExitCode(), d.complaints())
	}
	for name, address := range map[string]string{"backbone": d.ready.Ready.Backbone.WebSocket, "leaf": d.ready.Ready.Leaf.WebSocket, "page": strings.TrimSuffix(d.ready.Ready.Page, "/")} {
		_, host, _ := strings.Cut(address, "://")
		if c, err := net.Dial("tcp", host); err == nil {
			c.Close()
			t.Errorf("the %s still listens on %s", name, host)
		}
	}
	t.Logf("ended in %v", took.Round(time.Millisecond))
}

// waitUntil looks until it is true, and fails the test when that does not come.
func waitUntil(t *testing.T, what string, isTrue func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !isTrue() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("%s: not within %v", what, patience)
		}
	}
}
