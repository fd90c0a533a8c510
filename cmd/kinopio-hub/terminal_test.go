package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// plainServer runs a server that lets anybody in, at a port, or at any if that is -1.
func plainServer(t *testing.T, port int) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server did not start")
	}
	return s
}

// client is a plain NATS client.
func client(t *testing.T, s *server.Server) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// a tool is the program, while it runs.
type tool struct {
	t        *testing.T
	cmd      *exec.Cmd
	stdout   io.ReadCloser
	out      *bufio.Reader
	mu       sync.Mutex
	said     bytes.Buffer // on standard error
	saidMore chan struct{}
	saidAll  chan struct{}
}

// cleanEnvironment is that of tests, without what would say how to connect.
func cleanEnvironment() (clean []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "NATS_") && !strings.HasPrefix(v, "XDG_CONFIG_HOME=") {
			clean = append(clean, v)
		}
	}
	return append(clean, "XDG_CONFIG_HOME=/nonexistent")
}

// startTool runs the program with a server, and stdin if it is not nil.
func startTool(t *testing.T, stdin io.Reader, args ...string) *tool {
	t.Helper()
	c := &tool{t: t, cmd: exec.CommandContext(t.Context(), "kinopio-hub", args...), saidMore: make(chan struct{}, 1), saidAll: make(chan struct{})}
	c.cmd.Env, c.cmd.Stdin = cleanEnvironment(), stdin
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	said, err := c.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(3*patience, func() { _ = c.cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); _ = c.cmd.Process.Kill() })
	c.stdout, c.out = out, bufio.NewReader(out)
	go func() {
		defer close(c.saidAll)
		lines := bufio.NewScanner(said)
		for lines.Scan() {
			c.mu.Lock()
			fmt.Fprintln(&c.said, lines.Text())
			c.mu.Unlock()
			select {
			case c.saidMore <- struct{}{}:
			default:
			}
		}
	}()
	return c
}

// await returns when the tool has said text on standard error.
func (c *tool) await(text string) {
	c.t.Helper()
	for deadline := time.After(2 * patience); ; {
		c.mu.Lock()
		said := c.said.String()
		c.mu.Unlock()
		if strings.Contains(said, text) {
			return
		}
		select {
		case <-c.saidMore:
		case <-c.saidAll:
			c.t.Fatalf("it ended, and has not said %q:\n%s", text, said)
		case <-deadline:
			c.t.Fatalf("it has not said %q:\n%s", text, said)
		}
	}
}

func (c *tool) line() string {
	c.t.Helper()
	line, err := c.out.ReadString('\n')
	if err != nil {
		c.t.Fatalf("no line: %v\n%s", err, line)
	}
	return strings.TrimSuffix(line, "\n")
}

// end waits until the tool has ended.
func (c *tool) end() (out, said string, code int) {
	c.t.Helper()
	rest, err := io.ReadAll(c.out)
	if err != nil {
		c.t.Fatal(err)
	}
	<-c.saidAll
	_ = c.cmd.Wait()
	return string(rest), c.said.String(), c.cmd.ProcessState.ExitCode()
}

// runTool runs the program to its end.
func runTool(t *testing.T, stdin io.Reader, args ...string) (out, said string, code int) {
	t.Helper()
	return startTool(t, stdin, args...).end()
}

func signaled(t *testing.T, c *tool, sig os.Signal) (out, said string, code int) {
	t.Helper()
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no signals to send")
	}
	if err := c.cmd.Process.Signal(sig); err != nil {
		t.Fatal(err)
	}
	return c.end()
}

const escapes = "a\x1b[2J\u009b31mb\u202ec\x07"

// What others publish comes in lines, as JSON or as bytes, and cannot command a terminal.
func TestSubPrintsWhatIsPublished(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	html := `{"html":"<b>&amp;</b>","n":12345678901234567890}`
	values := []struct{ data, line, json string }{
		{html, "robot.v  " + html, `"value":` + html},
		{"42", "robot.v  42", `"value":42`},
		{"", "robot.v  (empty)", `"value":null`},
		{"hello you", "robot.v  hello you", `"value":"hello you"`},
		{"two\nlines", `robot.v  "two\nlines"`, `"value":"two\nlines"`},
		{"\xff\x00", "robot.v  (2 bytes) ff00", `"base64":"/wA="`},
		{escapes, `robot.v  "a\x1b[2J\u009b31mb\u202ec\a"`, `"value":"a\u001b[2J\u009b31mb\u202ec\u0007"`},
		{"\"\u009b31m\U000E0001\"", `robot.v  "\u009b31m\udb40\udc01"`, `"value":"\u009b31m\udb40\udc01"`},
	}
	lines, documents, raw := startTool(t, nil, "sub", "robot.>", "other", "-s", s.ClientURL(), "--count", fmt.Sprint(len(values))),
		startTool(t, nil, "sub", ">", "-s", s.ClientURL(), "--json", "--count", fmt.Sprint(len(values))),
		startTool(t, nil, "sub", "robot.v", "-s", s.ClientURL(), "--raw", "--count", fmt.Sprint(len(values)))
	for _, c := range []*tool{lines, documents, raw} {
		c.await("listening to ")
	}
	whole := ""
	for _, v := range values {
		m := &nats.Msg{Subject: "robot.v", Reply: "answers.here", Header: nats.Header{"Trace": {escapes}}, Data: []byte(v.data)}
		if err := nc.PublishMsg(m); err != nil {
			t.Fatal(err)
		}
		whole += v.data
	}
	for _, v := range values {
		if got := lines.line(); got != v.line {
			t.Errorf("%q is printed as %q, want %q", v.data, got, v.line)
		}
		got := documents.line()
		var d struct {
			Subject, Reply string
			Headers        map[string][]string
			Time           time.Time
		}
		if err := json.Unmarshal([]byte(got), &d); err != nil || d.Subject != "robot.v" || d.Reply != "answers.here" || d.Headers["Trace"] == nil || d.Time.IsZero() {
			t.Errorf("%v: %s", err, got)
		}
		if !strings.Contains(got, v.json) || strings.ContainsFunc(got, unsafeRune) {
			t.Errorf("%q is printed as %q, want %s", v.data, got, v.json)
		}
	}
	for _, c := range []*tool{lines, documents, raw} {
		rest, said, code := c.end()
		if code != 0 {
			t.Errorf("exit code %d: %s", code, said)
		}
		if c == raw && rest != whole {
			t.Errorf("raw is %q, want %q", rest, whole)
		}
	}
}

// A hub's pub, value by value, as a plain client hears it.
func TestPubSendsValues(t *testing.T) {
	s := plainServer(t, -1)
	sub, err := client(t, s).SubscribeSync("robot.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("x", 900_000)
	for _, c := range []struct {
		args  []string
		stdin string
		want  string
		count int
	}{
		{[]string{`{"x": 1}`}, "", `{"x": 1}`, 1},
		{[]string{"hello"}, "", "hello", 1},
		{nil, "", "", 1},
		{[]string{"42", "--string"}, "", `"42"`, 1},
		{[]string{"hello", "--string"}, "", "hello", 1},
		{[]string{"-", "--string"}, "", "-", 1},
		{[]string{"-"}, "a line\r\n", "a line", 1},
		{[]string{"-", "--raw-input"}, "a line\r\n", "a line\r\n", 1},
		{[]string{"--raw-input"}, large, large, 1},
		{[]string{"--", "-5"}, "", "-5", 1},
		{[]string{"n", "--count", "1000"}, "", "n", 1000},
	} {
		args := append([]string{"pub", "-s", s.ClientURL(), "--header", "Trace: 7", "-H", "Trace:8", "robot.v"}, c.args...)
		if out, said, code := runTool(t, strings.NewReader(c.stdin), args...); code != 0 || out+said != "" {
			t.Errorf("%.80q: exit code %d\n%s%s", c.args, code, out, said)
			continue
		}
		for range c.count {
			m, err := sub.NextMsg(patience)
			if err != nil {
				t.Fatalf("%.80q: %v", c.args, err)
			}
			if string(m.Data) != c.want || len(m.Header["Trace"]) != 2 || m.Header.Get("Trace") != "7" {
				t.Errorf("%.80q is heard as %.80q with %v", c.args, m.Data, m.Header)
			}
		}
	}
	if m, err := sub.NextMsg(time.Millisecond); err == nil {
		t.Errorf("one more is heard: %.80q", m.Data)
	}
}

func TestReqPrintsTheAnswerOrWhyThereIsNone(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	answer := func(subject string, header nats.Header, data string) {
		if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
			if data == "echo" {
				data := append([]byte("echo of "), m.Data...)
				_ = m.Respond(data)
				return
			}
			_ = m.RespondMsg(&nats.Msg{Header: header, Data: []byte(data)})
		}); err != nil {
			t.Fatal(err)
		}
	}
	answer("math.echo", nil, "echo")
	answer("math.json", nats.Header{"A": {"b"}}, `{"a":[1,2]}`)
	answer("math.fails", nats.Header{"Nats-Service-Error": {"no \x1b[2Jpower"}, "Nats-Service-Error-Code": {"507"}}, "")
	answer("math.many", nil, "1")
	answer("math.many", nil, "2")
	if _, err := nc.Subscribe("math.silent", func(*nats.Msg) {}); err != nil {
		t.Fatal(err)
	}
	large := strings.Repeat("y", 900_000)
	answer("math.large", nil, large)
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args      []string
		code      int
		out, said string
	}{
		{[]string{"math.echo", "you"}, 0, "math.echo  echo of you\n", ""},
		{[]string{"math.echo", "you", "--raw"}, 0, "echo of you", ""},
		{[]string{"math.large", "--raw"}, 0, large, ""},
		{[]string{"math.json", "--headers"}, 0, "math.json  {\"a\":[1,2]}\n    A: b\n", ""},
		{[]string{"math.nobody"}, 1, "", "nobody serves math.nobody"},
		{[]string{"math.silent", "--timeout", "300ms"}, 1, "", "no answer to math.silent within 300ms"},
		{[]string{"math.fails"}, 1, "", "error 507: no \uFFFD[2Jpower"},
		{[]string{"math.many", "--many", "--count", "1", "--raw"}, 0, "?", ""},
	} {
		out, said, code := runTool(t, nil, append([]string{"req", "-s", s.ClientURL()}, c.args...)...)
		if code != c.code || out != c.out && (c.out != "?" || len(out) != 1) || !strings.Contains(said, c.said) || (code == 0) != (said == "") {
			t.Errorf("%q: exit code %d, %.200q\n%s", c.args, code, out, said)
		}
	}
	out, said, code := runTool(t, nil, "req", "-s", s.ClientURL(), "math.many", "--many", "--count", "2", "--json")
	if code != 0 || strings.Count(out, "\n") != 2 || !strings.Contains(out, `"value":1`) || !strings.Contains(out, `"value":2`) {
		t.Errorf("exit code %d, %s\n%s", code, out, said)
	}
}

// A signal is a clean end, also while nobody reads the output, and so is a reader that goes.
func TestSubEndsCleanly(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	for _, sig := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		c := startTool(t, nil, "sub", "robot.>", "-s", s.ClientURL())
		c.await("listening to robot.>")
		if _, said, code := signaled(t, c, sig); code != 0 {
			t.Errorf("%v: exit code %d\n%s", sig, code, said)
		}
	}
	publish := func(until func() bool) {
		for data := make([]byte, 100_000); !until(); {
			if err := nc.Publish("robot.v", data); err != nil {
				t.Fatal(err)
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	stuck := startTool(t, nil, "sub", "robot.>", "-s", s.ClientURL(), "--json")
	stuck.await("listening to robot.>")
	n := 0
	publish(func() bool { n++; return n > 100 }) // 10 MB: more than all pipes and queues take
	if err := stuck.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	<-stuck.saidAll // It ends without a reader.
	if _, said, code := stuck.end(); code != 0 {
		t.Errorf("without a reader: exit code %d\n%s", code, said)
	}
	gone := startTool(t, nil, "sub", "robot.>", "-s", s.ClientURL())
	gone.await("listening to robot.>")
	if err := gone.stdout.Close(); err != nil {
		t.Fatal(err)
	}
	publish(func() bool {
		select {
		case <-gone.saidAll:
			return true
		default:
			return false
		}
	})
	_ = gone.cmd.Wait()
	if code := gone.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("when the reader has gone: exit code %d\n%s", code, gone.said.String())
	}
}

func TestSubCountsAndTimes(t *testing.T) {
	s := plainServer(t, -1)
	out, said, code := runTool(t, nil, "sub", "robot.>", "-s", s.ClientURL(), "--count", "2", "--timeout", "200ms")
	if code != exitError || out != "" || !strings.Contains(said, "0 of 2 messages came within 200ms") {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
	if _, said, code := runTool(t, nil, "sub", "robot.>", "-s", s.ClientURL(), "--timeout", "200ms"); code != 0 {
		t.Errorf("exit code %d\n%s", code, said)
	}
}

// A server that is killed and comes again costs no listener.
func TestSubReconnects(t *testing.T) {
	s := plainServer(t, -1)
	c := startTool(t, nil, "sub", "robot.>", "-s", s.ClientURL(), "--count", "1")
	c.await("listening to robot.>")
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	c.await("the connection is lost")
	nc := client(t, plainServer(t, port))
	c.await("connected again")
	if err := nc.Publish("robot.v", []byte("1")); err != nil {
		t.Fatal(err)
	}
	if out, said, code := c.end(); code != 0 || out != "robot.v  1\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}

// What is wrong is said with what would be right, and no secrets; a mistake in the command line is exit code 2.
func TestTerminalMistakes(t *testing.T) {
	s := plainServer(t, -1)
	guarded := startBackbone(t)
	url := s.ClientURL()
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"sub", "x"}, exitUsage, "no server is given"},
		{[]string{"sub"}, exitUsage, "requires at least 1 arg"},
		{[]string{"sub", "a..b", "-s", url}, exitUsage, "empty part"},
		{[]string{"sub", "x", "-s", "ftp://u:hunter2@h"}, exitUsage, "--server"},
		{[]string{"sub", "x", "-s", url, "--count", "-1"}, exitUsage, "--count -1: want 0 or more"},
		{[]string{"sub", "x", "-s", url, "--timeout", "-1s"}, exitUsage, "--timeout -1s: want a time above 0"},
		{[]string{"sub", "x", "-s", url, "--raw", "--json"}, exitUsage, "--raw excludes"},
		{[]string{"sub", "x", "-s", url, "--namespace-key", "k"}, exitUsage, "--namespace-key without --discovery-namespace"},
		{[]string{"sub", "x", "-s", "nats://127.0.0.1:1"}, exitError, "connect to nats://127.0.0.1:1"},
		{[]string{"sub", "x", "-s", guarded.ClientURL()}, exitError, "uthoriz"},
		{[]string{"pub", "a.*", "1", "-s", url}, exitUsage, "wildcard"},
		{[]string{"pub", "a.b", "-5", "-s", url}, exitUsage, "goes after --"},
		{[]string{"pub", "a.b", "1", "-s", url, "--header", "none"}, exitUsage, "--header \"none\": it has no name"},
		{[]string{"pub", "a.b", "1", "-s", url, "--header", "Kseq: 1"}, exitError, "the hub's own"},
		{[]string{"pub", "a.b", "1", "-s", url, "--count", "0"}, exitUsage, "--count 0"},
		{[]string{"pub", "a.b", "1", "-s", url, "--raw-input"}, exitUsage, "--raw-input with the value \"1\""},
		{[]string{"pub", "a.b", "-", "-s", url, "--raw-input", "--string"}, exitUsage, "exclude each other"},
		{[]string{"req", "a.b", "-s", url, "--timeout", "0s"}, exitUsage, "--timeout 0s"},
		{[]string{"req", "a.b", "-s", url, "--count", "1"}, exitUsage, "--count without --many"},
	} {
		out, said, code := runTool(t, nil, c.args...)
		if code != c.code || out != "" || !strings.Contains(said, c.want) || strings.Contains(said, "hunter2") || !strings.Contains(said, "hint: ") && code == exitUsage {
			t.Errorf("%q: exit code %d, want %d and %q\n%s%s", c.args, code, c.code, c.want, out, said)
		}
	}
	if _, said, code := runTool(t, strings.NewReader(strings.Repeat("x", 2<<20)), "pub", "a.b", "-", "-s", url); code != exitError || !strings.Contains(said, "too large") {
		t.Errorf("exit code %d\n%s", code, said)
	}
}

// What a server does not permit is the command's failure, and what hubs tell each other is not.
func TestTerminalIsToldWhatIsNotPermitted(t *testing.T) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, Users: []*server.User{{
		Username: "u", Password: "p", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: []string{"open.>"}}, Subscribe: &server.SubjectPermission{Allow: []string{"open.>"}},
		}}}})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	defer s.WaitForShutdown()
	defer s.Shutdown()
	if !s.ReadyForConnections(patience) {
		t.Fatal("nats-server did not start")
	}
	url := strings.Replace(s.ClientURL(), "nats://", "nats://u:p@", 1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"pub", "open.a", "1"}, ""},
		{[]string{"pub", "shut.a", "1"}, "shut.a"},
		{[]string{"sub", "shut.>", "--timeout", "10s"}, "shut.>"},
		{[]string{"sub", "open.>", "--timeout", "100ms", "--quiet"}, ""},
		{[]string{"req", "open.a"}, "_INBOX"},
		{[]string{"set", "shut.a", "1"}, "shut.a"},
		{[]string{"get", "shut.a"}, "shut.a"},
		{[]string{"watch", "shut.a"}, "shut.a"},
	} {
		_, said, code := runTool(t, nil, append(c.args, "-s", url)...)
		if (code != 0) != (c.want != "") || !strings.Contains(said, c.want) || (c.want == "") != (said == "") {
			t.Errorf("%q: exit code %d\n%s", c.args, code, said)
		}
	}
}
