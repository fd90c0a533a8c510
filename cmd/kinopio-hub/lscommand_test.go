package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// publishing sends one message each on the subjects, again and again, until the test ends.
func publishing(t *testing.T, nc *nats.Conn, subjects ...string) {
	t.Helper()
	stop, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(stop); <-done })
	go func() {
		defer close(done)
		for {
			for _, s := range subjects {
				if err := nc.Publish(s, []byte("0123456789")); err != nil {
					return // The server has gone.
				}
			}
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
}

func TestLsListsSubjectsWithRates(t *testing.T) {
	s := plainServer(t, -1)
	publishing(t, client(t, s), "robot.b", "robot.a", "lamp.a", "_KH.beat", "_INBOX.x", "evil.\x1b[2J")
	out, said, code := runTool(t, nil, "ls", "-s", s.ClientURL(), "--for", "1s", "--json")
	if code != 0 {
		t.Fatalf("exit code %d\n%s", code, said)
	}
	var subjects []string
	for line := range strings.Lines(out) {
		var d tally
		if err := json.Unmarshal([]byte(line), &d); err != nil || strings.ContainsFunc(line, unsafeRune) {
			t.Fatalf("%v: %q", err, line)
		}
		subjects = append(subjects, d.Subject)
		if d.Messages == 0 || d.Bytes != 10*d.Messages || d.MessagesPerSecond <= 0 || d.MessagesPerSecond > float64(d.Messages) || d.BytesPerSecond < 9.9*d.MessagesPerSecond {
			t.Errorf("%+v", d)
		}
	}
	if fmt.Sprintf("%q", subjects) != `["evil.\x1b[2J" "lamp.a" "robot.a" "robot.b"]` {
		t.Errorf("%q", subjects)
	}
	out, said, code = runTool(t, nil, "ls", "robot.*", "lamp.>", "-s", s.ClientURL(), "--for", "1s")
	if code != 0 || strings.Count(out, "\n") != 4 || !strings.HasPrefix(strings.TrimSpace(out), "messages") || !strings.Contains(out, "  robot.a\n") || strings.Contains(out, "evil") {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
	if out, _, _ := runTool(t, nil, "ls", "_KH.>", "evil.*", "-s", s.ClientURL(), "--for", "1s"); !strings.Contains(out, "_KH.beat") || !strings.Contains(out, "evil.\uFFFD[2J") {
		t.Errorf("%q", out)
	}
	if out, _, _ := runTool(t, nil, "ls", "--all", "-s", s.ClientURL(), "--for", "1s"); !strings.Contains(out, "_INBOX.x") {
		t.Errorf("%q", out)
	}
}

func TestLsIsBounded(t *testing.T) {
	s := plainServer(t, -1)
	var subjects []string
	for i := range 100 {
		subjects = append(subjects, fmt.Sprintf("many.%d", i))
	}
	publishing(t, client(t, s), subjects...)
	out, said, code := runTool(t, nil, "ls", "-s", s.ClientURL(), "--for", "1s", "--json", "--max-subjects", "10")
	if code != 0 || strings.Count(out, "\n") != 10 || !strings.Contains(said, "messages were on more subjects than --max-subjects 10") {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
	if out, said, code := runTool(t, nil, "ls", "silent.>", "-s", s.ClientURL(), "--for", "100ms"); code != 0 || out != "" || !strings.Contains(said, "nothing was published") {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}

func TestMistakesWithLs(t *testing.T) {
	url := plainServer(t, -1).ClientURL()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"a..b"}, "empty part"},
		{[]string{"--for", "-1s"}, "--for -1s"},
		{[]string{"--max-subjects", "0"}, "--max-subjects 0"},
		{[]string{"robot.>", "robot.*.x"}, "one contains the other"},
		{[]string{">", "x"}, "one contains the other"},
	} {
		out, said, code := runTool(t, nil, append([]string{"ls", "-s", url}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(said, c.want) || !strings.Contains(said, "hint: ") {
			t.Errorf("%q: exit code %d, want %q\n%s%s", c.args, code, c.want, out, said)
		}
	}
}

func TestOnePatternCoversAnother(t *testing.T) {
	for _, c := range []struct {
		wide, narrow string
		want         bool
	}{
		{">", "a", true}, {">", "a.>", true}, {"a.>", "a", false}, {"a.>", "a.b.c", true}, {"a.*", "a.b", true},
		{"a.*", "a.>", false}, {"a.*", "a.b.c", false}, {"a.b", "a.*", false}, {"a.*", "a.*", true}, {"*.b", "a.*", false},
	} {
		if got := covers(c.wide, c.narrow); got != c.want {
			t.Errorf("%s covers %s: %v", c.wide, c.narrow, got)
		}
	}
}
