package main

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

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
