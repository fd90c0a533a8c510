package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// shown is a leaf as most people see it first.
func shown() leaf.Status {
	until := time.Date(2030, 5, 17, 12, 0, 0, 0, time.UTC)
	return leaf.Status{
		Phase: leaf.PhaseRunning, DiscoveryNamespace: "studio", BridgeState: leaf.BridgeDisconnected,
		WSSURL: "wss://192.168.1.7:40123", DiscoveryURL: "https://192.168.1.7:40124/.well-known/kinopio-leader.json",
		ClientURL: "nats://127.0.0.1:40125", MonitorURL: "http://127.0.0.1:40126", LogFile: "/tmp/leaf/leaf.log",
		Access: leaf.AccessStatus{Mode: "token"},
		TLS: leaf.TLSStatus{Mode: leaf.TLSGenerated, CACertFile: "/home/ada/.cache/root-ca.pem", NotAfter: &until,
			Trust: leaf.TrustStatus{State: leaf.TrustInstalled}},
	}
}

func TestOverviewIsShortAlignedAndNamesTheNextStep(t *testing.T) {
	const table = `leaf of "studio" is running

  websocket   wss://192.168.1.7:40123
  manifest    https://192.168.1.7:40124/.well-known/kinopio-leader.json
  clients     nats://127.0.0.1:40125  (this machine only)
  monitor     http://127.0.0.1:40126  (this machine only)
  backbone    none: this leaf stands alone
  tls         certificate of this machine's own CA, until 2030-05-17
  trust       installed
  access      token
  log         /tmp/leaf/leaf.log
`
	const end = "\nCtrl-C ends it.\n"
	untrusted := func(s *leaf.Status) {
		s.TLS.Trust = leaf.TrustStatus{State: leaf.TrustSkipped, Detail: "it was taken out by «ca uninstall»", RequiresUserAction: true}
	}
	for name, c := range map[string]struct {
		change  func(*leaf.Status)
		caFlags string
		want    string
	}{
		"trusted": {func(*leaf.Status) {}, "", table + end},
		"not trusted": {untrusted, "", strings.Replace(table, "installed", "skipped", 1) + `
Browsers refuse this leaf until they trust
  /home/ada/.cache/root-ca.pem
  why:  it was taken out by «ca uninstall»
  next: kinopio-hub ca install; on other devices: kinopio-hub ca export --help
` + end},
		"not trusted, a cache of its own": {untrusted, caFlagsFor("/srv/my cache"), strings.Replace(table, "installed", "skipped", 1) + `
Browsers refuse this leaf until they trust
  /home/ada/.cache/root-ca.pem
  why:  it was taken out by «ca uninstall»
  next: kinopio-hub ca install --cache-dir "/srv/my cache"; on other devices: kinopio-hub ca export --help
` + end},
		"open to the LAN": {func(s *leaf.Status) { s.Access = leaf.AccessStatus{Mode: "open", OpenToLAN: true} }, "",
			strings.Replace(table, "token", "open", 1) + `
warning: anybody on the LAN may read and write here.
  next: --access-token-file, --access-users-file or --access-nkey closes it; --allowed-origin names whose pages may come in
` + end},
	} {
		t.Run(name, func(t *testing.T) {
			s := shown()
			c.change(&s)
			var out strings.Builder
			(&leafOutput{w: &out, caFlags: c.caFlags}).changed(s)
			if out.String() != c.want {
				t.Errorf("%s\nwant\n%s", out.String(), c.want)
			}
			if lines := strings.Count(out.String(), "\n"); lines > 24 {
				t.Errorf("%d lines are more than a terminal shows", lines)
			}
		})
	}
}

func TestEachChangeIsOneLineForPeople(t *testing.T) {
	before := shown()
	before.BackboneServers, before.BridgeState = []string{"nats://backbone:7422"}, leaf.BridgeConnecting
	for want, change := range map[string]func(*leaf.Status){
		"bridge connected": func(s *leaf.Status) { s.BridgeState = leaf.BridgeConnected },
		"bridge error: refused": func(s *leaf.Status) {
			s.BridgeState, s.LastBridgeError = leaf.BridgeError, "refused"
		},
		"connections 3":                                  func(s *leaf.Status) { s.Connections = 3 },
		"leaf stopping: clients may leave":               func(s *leaf.Status) { s.Phase = leaf.PhaseStopping },
		"leaf restarting: it died":                       func(s *leaf.Status) { s.Phase, s.LastError = leaf.PhaseRestarting, "it died" },
		"largest message 1000 bytes, as at the backbone": func(s *leaf.Status) { s.Access.MaxPayload = 1000 },
		"new certificate, until 2030-05-17":              func(s *leaf.Status) { s.TLS.Fingerprint = "another" },
		"server: it complains":                           func(s *leaf.Status) { s.LastError = "it complains" },
	} {
		now := before
		change(&now)
		var out strings.Builder
		o := &leafOutput{w: &out}
		o.changed(before)
		out.Reset()
		o.changed(now)
		if _, text, _ := strings.Cut(out.String(), "  "); text != want+"\n" {
			t.Errorf("%q, want the time and %q", out.String(), want)
		}
	}
}

func TestJSONIsOneDocumentAndJSONLinesOneForEachChange(t *testing.T) {
	var one, lines strings.Builder
	first, each := &leafOutput{w: &one, json: true}, &leafOutput{w: &lines, jsonLines: true}
	s := shown()
	for _, phase := range []leaf.Phase{leaf.PhaseRunning, leaf.PhaseRestarting, leaf.PhaseRunning, leaf.PhaseStopping, leaf.PhaseStopped} {
		s.Phase = phase
		first.changed(s)
		each.changed(s)
	}
	if n := strings.Count(one.String(), "\n"); n != 1 || !strings.Contains(one.String(), `"phase":"running"`) {
		t.Errorf("--json wrote %d lines: %s", n, one.String())
	}
	if n := strings.Count(lines.String(), "\n"); n != 5 || strings.Count(lines.String(), `"phase":"running"`) != 2 {
		t.Errorf("--json-lines wrote %d lines: %s", n, lines.String())
	}
}

// A client comes and goes: each is told once, and nothing is told twice.
func TestJSONLinesTellOfClientsAndRepeatNothing(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	cmd, lines := startLeaf(t, "--json-lines")
	all := []map[string]any{next(t, lines)}
	until := func(connections float64) {
		for all[len(all)-1]["connections"] != connections {
			all = append(all, next(t, lines))
		}
	}
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%v", all[0]["ports"].(map[string]any)["client"]))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	until(1)
	conn.Close()
	until(0)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
		var doc map[string]any
		if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
			t.Fatal(err)
		}
		all = append(all, doc)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	var before map[string]any
	for i, doc := range all {
		doc = maps.Clone(doc)
		delete(doc, "manifest") // It expires anew each time.
		if reflect.DeepEqual(doc, before) {
			t.Errorf("document %d says what the one before said: %v", i, doc)
		}
		before = doc
	}
}
