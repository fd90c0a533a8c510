package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// The test binary is the program, too: scripts and tests call it as kinopio-hub.
func TestMain(m *testing.M) {
	// No test may touch the trust stores of whoever runs it.
	if _, given := os.LookupEnv("KINOPIO_SKIP_CA_TRUST_INSTALL"); !given {
		os.Setenv("KINOPIO_SKIP_CA_TRUST_INSTALL", "1")
	}
	lab.Main(roles()) // does not return in a host's process
	testscript.Main(m, map[string]func(){"kinopio-hub": main})
}

// roles are what a host of the lab may play.
func roles() map[string]lab.Role {
	all := map[string]lab.Role{"backbone": playBackbone, "hub": playHub, "finder": playFinder, "guest": playGuest, "peer": lab.PeerRole, "flood": playFlood, "liar": playLiar, "impostor": playImpostor}
	maps.Copy(all, systemRoles)
	return all
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			// A port that is taken for as long as the script runs.
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			e.Defer(func() { ln.Close() })
			e.Setenv("KINOPIO_SKIP_CA_TRUST_INSTALL", "1")
			e.Setenv("HOME", e.WorkDir+"/home")
			e.Setenv("BUSY", fmt.Sprint(ln.Addr().(*net.TCPAddr).Port))
			e.Setenv("KINOPIO_LEAF_CACHE_DIR", e.WorkDir+"/cache")
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){"status": cmdStatus},
	})
}

// cmdStatus checks one status document: «status FILE path=value …», where a path is
// like tls.trust.state and a value of * only asks that the field is there.
func cmdStatus(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status FILE path=value …")
	}
	text := strings.TrimSpace(ts.ReadFile(args[0]))
	if strings.Contains(text, "\n") {
		ts.Fatalf("more than one document:\n%s", text)
	}
	var doc any
	if err := json.Unmarshal([]byte(text), &doc); err != nil {
		ts.Fatalf("not JSON: %v\n%s", err, text)
	}
	for _, arg := range args[1:] {
		path, want, _ := strings.Cut(arg, "=")
		value, found := doc, true
		for name := range strings.SplitSeq(path, ".") {
			object, _ := value.(map[string]any)
			if value, found = object[name]; !found {
				ts.Fatalf("no field %s in %s", path, text)
			}
		}
		if got := fmt.Sprint(value); want != "*" && got != want {
			ts.Fatalf("%s is %s, want %s", path, got, want)
		}
	}
}

const patience = 20 * time.Second

// startLeaf runs the program and returns it with its lines.
func startLeaf(t *testing.T, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", append([]string{"leaf", "start", "--discovery-namespace", "test",
		"--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--runtime-dir", t.TempDir()}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop() })
	return cmd, bufio.NewScanner(out)
}

func next(t *testing.T, lines *bufio.Scanner) map[string]any {
	t.Helper()
	if !lines.Scan() {
		t.Fatalf("no line: %v", lines.Err())
	}
	var doc map[string]any
	if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
		t.Fatalf("%v: %s", err, lines.Bytes())
	}
	return doc
}

func TestSignalStopsCleanlyAndJSONLinesTellEachChange(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, lines := startLeaf(t, "--json-lines")
		phases := []string{next(t, lines)["phase"].(string)}
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			var doc map[string]any
			if err := json.Unmarshal(lines.Bytes(), &doc); err != nil {
				t.Fatal(err)
			}
			phases = append(phases, doc["phase"].(string))
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v, want exit code 0", sig, err)
		}
		if phases[0] != "running" || phases[len(phases)-1] != "stopped" || !slices.IsSortedFunc(phases, byLife) {
			t.Errorf("%v: phases %v", sig, phases)
		}
	}
}

func byLife(a, b string) int {
	life := []string{"starting", "running", "stopping", "stopped"}
	return slices.Index(life, a) - slices.Index(life, b)
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	cmd, lines := startLeaf(t, "--json-lines")
	port := next(t, lines)["ports"].(map[string]any)["client"]
	// A client that stays makes a clean stop take its time.
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%v", port))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := bufio.NewReader(conn).ReadString('\n'); err != nil { // The server's INFO: it is counted now.
		t.Fatal(err)
	}
	cmd.Process.Signal(os.Interrupt)
	for next(t, lines)["phase"] != "stopping" {
	}
	cmd.Process.Signal(os.Interrupt)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != exitAtOnce {
		t.Errorf("ended with %v, want exit code %d", err, exitAtOnce)
	}
}

func TestLeafEndsWithItsParent(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", "leaf", "start", "--discovery-namespace", "test",
		"--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--json-lines", "--parent-pipe", "--runtime-dir", t.TempDir())
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	lines := bufio.NewScanner(out)
	next(t, lines)
	in.Close()
	for lines.Scan() {
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, want exit code 0", err)
	}
}

func TestKilledLeafDoesNotHinderTheNextStart(t *testing.T) {
	args := []string{"--json-lines", "--runtime-dir", t.TempDir()}
	cmd, lines := startLeaf(t, args...)
	ports := next(t, lines)["ports"].(map[string]any)
	for role, port := range ports {
		args = append(args, fmt.Sprintf("--%s-port=%v", role, port))
	}
	for range 3 {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		cmd, lines = startLeaf(t, args...)
		if again := next(t, lines); again["phase"] != "running" || fmt.Sprint(again["ports"]) != fmt.Sprint(ports) {
			t.Errorf("after a kill: %v", again)
		}
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
}
