package main

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

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
