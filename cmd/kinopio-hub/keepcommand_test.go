package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// startBackbone runs a server with JetStream and one user.
func startBackbone(t *testing.T) *server.Server {
	t.Helper()
	s, err := server.NewServer(&server.Options{
		Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(),
		Username: "ada", Password: "a password",
	})
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

// startCommand runs the program with an environment of its own.
func startCommand(t *testing.T, environment []string, args ...string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", args...)
	cmd.Env = append(os.Environ(), environment...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	watchdog := time.AfterFunc(3*patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop() })
	return cmd, bufio.NewScanner(out)
}

// natsContextFile writes a context of the nats CLI and returns the environment that has it.
func natsContextFile(t *testing.T, name, text string, selected bool) []string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "nats")
	if err := os.MkdirAll(filepath.Join(dir, "context"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "context", name+".json"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if selected {
		if err := os.WriteFile(filepath.Join(dir, "context.txt"), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return []string{"XDG_CONFIG_HOME=" + filepath.Dir(dir), "NATS_URL=", "NATS_CONTEXT="}
}

// Beside any NATS system: connected as flags, the environment or a context of the nats CLI say, values are stored in a
// bucket, and are there for the next keeper.
func TestKeepCommand(t *testing.T) {
	s := startBackbone(t)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("a password\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	context1 := fmt.Sprintf(`{"url":%q,"user":"ada","password":"a password"}`, s.ClientURL())
	for i, c := range []struct {
		environment []string
		args        []string
	}{
		{nil, []string{"--server", s.ClientURL(), "--user", "ada", "--password-file", password}},
		{[]string{"NATS_URL=" + s.Addr().String(), "NATS_USER=ada", "NATS_PASSWORD=a password"}, nil},
		{natsContextFile(t, "studio", context1, false), []string{"--context", "studio"}},
		{natsContextFile(t, "studio", context1, true), nil},
	} {
		cmd, lines := startCommand(t, c.environment, append([]string{"keep", "robot.>", "--json", "--bucket", "robots"}, c.args...)...)
		status := next(t, lines)
		for status["connected"] != true {
			status = next(t, lines)
		}
		if i == 0 {
			h, err := hub.Open(t.Context(), hub.Config{Servers: []string{s.ClientURL()}, Auth: hub.Auth{User: "ada", Password: "a password"}})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			if err := h.Scope("robot").Variable("battery").Set(ctx, 0.5); err != nil || h.Flush(ctx) != nil {
				t.Fatal(err)
			}
			h.Close()
		}
		for status["values"] != 1.0 || status["unstored"] != 0.0 {
			status = next(t, lines)
		}
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: it ended with %v", c.args, err)
		}
	}
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("ada", "a password"))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(t.Context(), "robots")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(t.Context(), "robot.battery"); err != nil || string(e.Value()) != "0.5" {
		t.Errorf("a plain client reads %v, %v", e, err)
	}
}

// What does not fit together is told before anything is done, without secrets.
func TestMistakesInHowToConnect(t *testing.T) {
	contexts := natsContextFile(t, "broken", "{", false)
	dir := filepath.Join(strings.TrimPrefix(contexts[0], "XDG_CONFIG_HOME="), "nats", "context")
	for name, text := range map[string]string{"nsc": `{"nsc":"nsc://op/acc/user"}`, "proxy": `{"url":"nats://x","socks_proxy":"socks5://y"}`} {
		if err := os.WriteFile(filepath.Join(dir, name+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("hunter2-hunter2"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{nil, "no server is given"},
		{[]string{"--context", "missing"}, `--context "missing"`},
		{[]string{"--context", "../x"}, "not a name of a context"},
		{[]string{"--context", "broken"}, "broken.json"},
		{[]string{"--context", "nsc"}, "nsc generate creds"},
		{[]string{"--context", "proxy"}, "SOCKS"},
		{[]string{"--server", "nats://x", "--user", "ada"}, "it has no password"},
		{[]string{"--server", "nats://x", "--password-file", secret}, "--password-file without --user"},
		{[]string{"--server", "nats://x", "--token-file", secret, "--creds", secret}, "exclude each other"},
		{[]string{"--server", "nats://x", "--token-file", "missing"}, "--token-file"},
		{[]string{"--server", "nats://x", "--nkey", secret}, "--nkey"},
		{[]string{"--server", "nats://x", "--cert-file", secret}, "belong together"},
		{[]string{"--server", "nats://x", "--ca-file", secret}, "no certificate in it"},
		{[]string{"a..b", "--server", "nats://x"}, "empty part"},
		{[]string{"--server", "nats://x", "--keep-values", "0"}, "--keep-values 0"},
	} {
		cmd := exec.CommandContext(t.Context(), "kinopio-hub", append([]string{"keep"}, c.args...)...)
		cmd.Env = append(os.Environ(), contexts...)
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(out), c.want) || strings.Contains(string(out), "hunter2") {
			t.Errorf("%v: %v\n%s\nwant exit code %d and %q", c.args, err, out, exitUsage, c.want)
		}
	}
}
