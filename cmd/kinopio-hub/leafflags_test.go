package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// What is wrong is told in the words of the command line, in leaf start and in leaf auto alike, with code 2.
func TestMistakesAreToldInFlags(t *testing.T) {
	rights := filepath.Join(t.TempDir(), "rights.json")
	if err := os.WriteFile(rights, []byte(`{"publish":{"allow":["$SYS.>"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	inGo := regexp.MustCompile(`\b([A-Z][a-z]+[A-Z]\w*|(Ports|Access|Backbone|TLS)\.\w+|No[A-Z]\w+)\b`)
	for _, c := range []struct{ flags, want string }{
		{"--client-port 7000 --monitor-port 7000", "--monitor-port"},
		{"--websocket-port 99999", "--websocket-port"},
		{"--tls-cert-file a.pem --tls-key-file b.pem --no-websocket-tls", "--no-websocket-tls"},
		{"--tls-cert-file a.pem", "--tls-key-file"},
		{"--ticket-permissions " + rights, "--tickets"},
		{"--tickets --ticket-permissions " + rights, "--ticket-permissions publish.allow"},
		{"--backbone-user u", "--backbone-server"},
		{"--backbone-server nats://b --backbone-ca-file x", "--backbone-ca-file"},
		{"--backbone-server nats://b --backbone-server wss://b", "--backbone-server"},
		{"--lan-bind-address nowhere", "--lan-bind-address"},
		{"--advertised-hostname http://x", "--advertised-hostname"},
		{"--allowed-origin x", "--allowed-origin"},
		{"--serve /does/not/exist", "--serve"},
		{"--max-payload -1", "--max-payload"},
		{"--public-address 10.0.0.1", "--public-address"},
		{"--backbone-client-server x", "--backbone-client-server"},
		{"--access-nkey x", "--access-nkey"},
		{"--jetstream-domain a.b --backbone-server nats://b", "--jetstream-domain"},
		{"--node-id " + strings.Repeat("x", 100), "--node-id"},
		{"--namespace-secret short", "--namespace-secret"},
	} {
		for _, command := range []string{"start", "auto"} {
			var out, said bytes.Buffer
			args := append([]string{"leaf", command, "--discovery-namespace", "test", "--cache-dir", t.TempDir()}, strings.Fields(c.flags)...)
			code := execute(context.Background(), args, strings.NewReader(""), &out, &said, func(string) string { return "" })
			first, _, _ := strings.Cut(said.String(), "\n")
			if code != exitUsage || !strings.Contains(first, c.want) || inGo.MatchString(strings.ReplaceAll(first, "MiB", "")) {
				t.Errorf("leaf %s %s: code %d, %s", command, c.flags, code, said.String())
			}
		}
	}
}

func FuzzUsersFileNeverPanics(f *testing.F) {
	f.Add("ada:her-password\nbob:another:one\n# nobody\n")
	f.Add("\n:\r\nname\x00:")
	f.Fuzz(func(t *testing.T, text string) {
		users, _ := parseUsers(text)
		for _, u := range users {
			if u.Name == "" || u.Password == "" || strings.Contains(u.Name, ":") || !strings.Contains(text, u.Name+":"+u.Password) {
				t.Errorf("%q is not a line of the file", u)
			}
		}
	})
}
