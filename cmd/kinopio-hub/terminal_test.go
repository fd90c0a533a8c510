package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
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

// startTool runs the program, with stdin if it is not nil.
func startTool(t *testing.T, stdin io.Reader, args ...string) *tool {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", args...)
	cmd.Env, cmd.Stdin = cleanEnvironment(), stdin
	return startToolAs(t, cmd)
}

// startToolAs runs cmd, which is the program.
func startToolAs(t *testing.T, cmd *exec.Cmd) *tool {
	t.Helper()
	c := &tool{t: t, cmd: cmd, saidMore: make(chan struct{}, 1), saidAll: make(chan struct{})}
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
