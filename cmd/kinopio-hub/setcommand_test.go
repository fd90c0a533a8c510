package main

import (
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A value that is set is had by a program that follows it, by get and by watch, until it is deleted; what came of JSON is as it came.
func TestSetGetAndWatchShareAValue(t *testing.T) {
	s := plainServer(t, -1)
	url := s.ClientURL()
	held := startTool(t, nil, "set", "light.state", `{"n":12345678901234567890,"html":"<b>"}`, "-s", url, "--hold")
	held.await("light.state is set")
	if out, said, code := runTool(t, nil, "get", "light.state", "-s", url); code != 0 || out != `{"n":12345678901234567890,"html":"<b>"}`+"\n" {
		t.Errorf("get: exit code %d, %q\n%s", code, out, said)
	}
	watch := startTool(t, nil, "watch", "light.state", "-s", url, "--json")
	next := func() (line struct {
		Subject string
		Exists  *bool
		Value   json.RawMessage
		Base64  []byte
	}) {
		t.Helper()
		text := watch.line()
		if err := json.Unmarshal([]byte(text), &line); err != nil || line.Exists == nil || line.Subject != "light.state" || strings.ContainsFunc(text, unsafeRune) {
			t.Fatalf("%v: %q", err, text)
		}
		return line
	}
	if l := next(); !*l.Exists || string(l.Value) != `{"n":12345678901234567890,"html":"<b>"}` {
		t.Errorf("the present value is %s", l.Value)
	}
	for _, c := range []struct{ value, want, raw string }{
		{"42", "42", "42"}, {"", "null", ""}, {escapes, `"` + strings.Trim(string(must(json.Marshal(escapes))), `"`) + `"`, escapes}, {strings.Repeat("z", 900_000), `"` + strings.Repeat("z", 900_000) + `"`, strings.Repeat("z", 900_000)},
	} {
		stdin := strings.NewReader(c.value)
		if out, said, code := runTool(t, stdin, "set", "light.state", "-", "-s", url); code != 0 || out+said != "" {
			t.Errorf("set %.40q: exit code %d, %s%s", c.value, code, out, said)
		}
		l := next()
		var got, want any
		if json.Unmarshal(l.Value, &got) != nil || json.Unmarshal([]byte(c.want), &want) != nil || !*l.Exists || got != want {
			t.Errorf("%.40q is seen as %.40s", c.value, l.Value)
		}
		if out, said, code := runTool(t, nil, "get", "light.state", "-s", url, "--raw"); code != 0 || out != c.raw {
			t.Errorf("get: exit code %d, %.40q, want %.40q\n%s", code, out, c.raw, said)
		}
	}
	if _, said, code := runTool(t, nil, "set", "light.state", "--delete", "-s", url); code != 0 {
		t.Errorf("delete: exit code %d\n%s", code, said)
	}
	if l := next(); *l.Exists || l.Value != nil || l.Base64 != nil {
		t.Errorf("after it was deleted: %s", l.Value)
	}
	out, said, code := runTool(t, nil, "get", "light.state", "-s", url)
	if code != exitError || out != "" || !strings.Contains(said, "light.state has no value") || !strings.Contains(said, "hint: ") {
		t.Errorf("get: exit code %d, %q\n%s", code, out, said)
	}
	for _, c := range []*tool{held, watch} {
		if rest, said, code := signaled(t, c, os.Interrupt); code != 0 || rest != "" {
			t.Errorf("exit code %d, %q\n%s", code, rest, said)
		}
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// What set writes comes after what a program has set before, whatever that was.
func TestSetIsTheLatest(t *testing.T) {
	s := plainServer(t, -1)
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	h, err := hub.Open(ctx, hub.Config{Servers: []string{s.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	v := h.Scope("light").Variable("state")
	for i := range 50 {
		if err := v.Set(ctx, i); err != nil {
			t.Fatal(err)
		}
	}
	changes := make(chan any, 100)
	if _, err := v.OnChange(func(c hub.Change) { changes <- c.Value }); err != nil {
		t.Fatal(err)
	}
	if _, said, code := runTool(t, nil, "set", "light.state", "mine", "-s", s.ClientURL()); code != 0 {
		t.Fatal(said)
	}
	for {
		select {
		case got := <-changes:
			if got == "mine" {
				return
			}
		case <-ctx.Done():
			t.Fatalf("it is %v", v.Value())
		}
	}
}

func TestWatchSaysWhatIsNotThere(t *testing.T) {
	s := plainServer(t, -1)
	url := s.ClientURL()
	watch := startTool(t, nil, "watch", "light.b", "light.a", "-s", url, "--count", "3")
	got := []string{watch.line(), watch.line()}
	if got[0] > got[1] {
		got[0], got[1] = got[1], got[0]
	}
	if got[0] != "light.a  (no value)" || got[1] != "light.b  (no value)" {
		t.Errorf("%q", got)
	}
	if _, said, code := runTool(t, nil, "set", "light.a", "two words", "-s", url); code != 0 {
		t.Fatal(said)
	}
	if out, said, code := watch.end(); code != 0 || out != "light.a  two words\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}

func TestMistakesWithValues(t *testing.T) {
	url := plainServer(t, -1).ClientURL()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"set", "light.state"}, "no value is given"},
		{[]string{"set", "light.state", "1", "--delete"}, "--delete with a value"},
		{[]string{"set", "light.state", "--delete", "--hold"}, "--delete with --hold"},
		{[]string{"set", "light", "1"}, "want a scope and a name"},
		{[]string{"set", "light.*", "1"}, "wildcard"},
		{[]string{"set", "light.x", "1", "--timeout", "0s"}, "--timeout 0s"},
		{[]string{"get", "light"}, "want a scope and a name"},
		{[]string{"get", "light.>"}, "wildcard"},
		{[]string{"get", "light.x", "--raw", "--json"}, "--raw excludes"},
		{[]string{"watch", "light.>"}, "wildcard"},
		{[]string{"watch", "light"}, "want a scope and a name"},
		{[]string{"watch", "light.x", "--count", "-1"}, "--count -1"},
	} {
		out, said, code := runTool(t, nil, append(c.args, "-s", url)...)
		if code != exitUsage || out != "" || !strings.Contains(said, c.want) || !strings.Contains(said, "hint: ") {
			t.Errorf("%q: exit code %d, want %q\n%s%s", c.args, code, c.want, out, said)
		}
	}
}

// A value that ends with the command that has set it is no surprise, and there is no warning where somebody keeps it.
func TestSetWarnsWhenNobodyKeepsTheValue(t *testing.T) {
	url := plainServer(t, -1).ClientURL()
	out, said, code := runTool(t, nil, "set", "light.state", "1", "-s", url, "--quiet")
	if code != 0 || out != "" || !strings.HasPrefix(said, "warning: nobody else knows light.state") {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
	if _, said, code := runTool(t, nil, "set", "light.state", "--delete", "-s", url); code != 0 || said != "" {
		t.Errorf("exit code %d\n%s", code, said)
	}
	keep := startTool(t, nil, "keep", "-s", url, "--memory")
	for !strings.Contains(keep.line(), "  connected, with") {
	}
	for range 20 {
		if _, said, code := runTool(t, nil, "set", "light.state", "2", "-s", url); code != 0 || said != "" {
			t.Errorf("exit code %d\n%s", code, said)
		}
	}
	if out, said, code := runTool(t, nil, "get", "light.state", "-s", url); code != 0 || out != "2\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
}
