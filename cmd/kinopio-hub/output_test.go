package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// «leaf start --json-lines | jq» goes on when jq ends, and so does one beside a journal that restarts.
func TestLostReaderOfTheOutputIsNotTheEndOfALeaf(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", "leaf", "start", "--discovery-namespace", "test",
		"--lan-bind-address", "127.0.0.1", "--no-websocket-tls", "--json-lines", "--runtime-dir", t.TempDir())
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = write, write
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	write.Close()
	watchdog := time.AfterFunc(2*patience, func() { _ = cmd.Process.Kill() })
	defer watchdog.Stop()
	buffer := make([]byte, 64<<10)
	n, err := read.Read(buffer)
	if err != nil {
		t.Fatal(err)
	}
	var monitor, client string
	for field := range strings.SplitSeq(string(buffer[:n]), ",") {
		if _, url, ok := strings.Cut(field, `"monitorUrl":`); ok {
			monitor = strings.Trim(url, `"`)
		}
		if _, url, ok := strings.Cut(field, `"clientUrl":`); ok {
			client = strings.Trim(url, `"`)
		}
	}
	read.Close() // The reader has gone.
	for range 3 {
		nc, err := nats.Connect(client, nats.Timeout(patience)) // Each is a change, which is printed.
		if err != nil {
			t.Fatalf("the leaf has ended with its reader: %v", err)
		}
		deadline := time.Now().Add(patience)
		for want := fmt.Sprintf(`"num_connections": %d`, 2); ; time.Sleep(10 * time.Millisecond) {
			res, err := http.Get(monitor + "/connz")
			if err != nil {
				t.Fatalf("the leaf has ended with its reader: %v", err)
			}
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if strings.Contains(string(body), want) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s is not seen: %s", want, body)
			}
		}
		time.Sleep(1200 * time.Millisecond) // The leaf looks at its connections once a second.
		nc.Close()
	}
	http.DefaultClient.CloseIdleConnections()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v, want exit code 0", err)
	}
}

func TestClosedTerminalIsACleanEnd(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	cmd, lines := startLeaf(t, "--json-lines")
	next(t, lines)
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	last := ""
	for lines.Scan() {
		last = lines.Text()
	}
	if err := cmd.Wait(); err != nil || !strings.Contains(last, `"phase":"stopped"`) {
		t.Errorf("%v, and the last status is %.200s", err, last)
	}
}

type stalled struct{ ends chan struct{} }

func (s stalled) Write(p []byte) (int, error) { <-s.ends; return len(p), nil }

func TestSlowReaderHoldsNobodyUp(t *testing.T) {
	s := stalled{make(chan struct{})}
	defer close(s.ends)
	o := newOutput(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 * outputQueue {
			fmt.Fprintln(o, "a line")
		}
		o.close()
		fmt.Fprintln(o, "after the end")
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatal("whoever prints waits for the reader")
	}
	var b bytes.Buffer
	o = newOutput(&b)
	fmt.Fprint(o, "all ")
	fmt.Fprint(o, "of it")
	o.close()
	if b.String() != "all of it" {
		t.Errorf("%q", b.String())
	}
}

func TestTextOfOthersCannotCommandATerminal(t *testing.T) {
	if got := plain("a\x1b[2Jb\u009bc\u202ed\re\nf ö«"); strings.ContainsAny(got, "\x1b\u009b\u202e\r") || !strings.HasSuffix(got, "\nf ö«") {
		t.Errorf("%q", got)
	}
}

func TestSecretsAreReadAsEditorsOfWindowsWriteThem(t *testing.T) {
	utf16File := func(order binary.ByteOrder, text string) []byte {
		var b []byte
		for _, unit := range utf16.Encode([]rune("\ufeff" + text)) {
			var two [2]byte
			order.PutUint16(two[:], unit)
			b = append(b, two[:]...)
		}
		return b
	}
	for name, c := range map[string]struct {
		data []byte
		want string // "": refused
	}{
		"UTF-8":                  {[]byte("tökén\n"), "tökén"},
		"with a byte order mark": {[]byte("\ufefftökén\r\n"), "tökén"},
		"UTF-16":                 {utf16File(binary.LittleEndian, "tökén\r\n"), "tökén"},
		"UTF-16, big end first":  {utf16File(binary.BigEndian, "tökén\r\n"), "tökén"},
		"half a character":       {append(utf16File(binary.LittleEndian, "token"), 'x'), ""},
		"Latin-1":                {[]byte("t\xf6k\xe9n"), ""},
		"UTF-16 without a mark":  {[]byte("t\x00o\x00"), ""},
		"a mark alone":           {[]byte("\ufeff\n"), ""},
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, c.data, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readText("--access-token-file", path)
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%s: %q, %v; want %q", name, got, err, c.want)
		}
	}
}

// What sets a variable may add a line end, as an editor does to a file: it is no part of the secret.
func TestSecretIsTheSameFromAFileAndFromTheEnvironment(t *testing.T) {
	key := func(getenv env, more ...string) string {
		var out, said bytes.Buffer
		if code := execute(t.Context(), append([]string{"leaf", "key", "--discovery-namespace", "studio"}, more...), strings.NewReader(""), &out, &said, getenv); code != 0 {
			t.Fatalf("code %d: %s", code, &said)
		}
		return out.String()
	}
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte("\ufeffa secret of this test\r\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := func(string) string { return "" }
	want := key(none, "--namespace-secret", "a secret of this test")
	if got := key(none, "--namespace-secret-file", path); got != want {
		t.Errorf("of a file: %s, want %s", got, want)
	}
	if got := key(func(string) string { return "a secret of this test\r\n" }); got != want {
		t.Errorf("of the environment: %s, want %s", got, want)
	}
}

// The manifest on loopback is a leaf's, wherever that runs: whose pages may read it is the same.
func TestManifestOnLoopbackIsForAllowedOrigins(t *testing.T) {
	network := lab.New(t)
	host := network.Host("a")
	agent := auto(t, host, "node-a", "--discovery-port", "4321", "--allowed-origin", "https://App.example.com:443")
	agent.Await(leading)
	read := func(origin string) string {
		out, err := host.Command(t.Context(), "curl", "-sfi", "--max-time", "10", "-H", "Origin: "+origin, "http://127.0.0.1:4321/.well-known/kinopio-leader.json").Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return strings.ToLower(string(out))
	}
	if got := read("https://evil.example.com"); strings.Contains(got, "access-control-allow-origin") {
		t.Errorf("a page of another origin reads it:\n%s", got)
	}
	if got := read("https://app.example.com"); !strings.Contains(got, "access-control-allow-origin: https://app.example.com") {
		t.Errorf("a page of the allowed origin does not:\n%s", got)
	}
	agent.Stop()
}
