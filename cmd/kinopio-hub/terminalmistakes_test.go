package main

import (
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

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
		{[]string{"sub", "a.>", "a.b", "-s", url}, exitUsage, "one contains the other"},
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
