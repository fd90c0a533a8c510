//go:build unix

package main

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// serving runs «kinopio-hub serve» until it answers.
func serving(t *testing.T, url string, args ...string) *tool {
	t.Helper()
	c := startTool(t, nil, append([]string{"serve", "-s", url}, args...)...)
	c.await("serving ")
	return c
}

// What a command prints is the answer; the request is its input, subject and headers are in its environment, and no shell sees them.
func TestServeAnswersWithACommandsOutput(t *testing.T) {
	t.Setenv("KINOPIO_HEADER_STALE", "of the environment")
	s := plainServer(t, -1)
	nc := client(t, s)
	url := s.ClientURL()
	serving(t, url, "text.cat", "--exec", "cat")
	serving(t, url, "text.raw", "--exec", "cat", "--raw-output")
	serving(t, url, "text.args", "--exec", "printf %s,", "--", "a b", "$HOME;", "-n")
	serving(t, url, "text.env", "--shell", "--exec", `echo "$KINOPIO_SUBJECT|$KINOPIO_HEADER_X_TRACE|$KINOPIO_HEADER_PATH|$(test -n "$PATH" && echo path)"`)
	serving(t, url, "text.value", "--value", `{"a":1}`)
	large := strings.Repeat("x", 900_000)
	for _, c := range []struct {
		subject, data, want string
	}{
		{"text.cat", "hello\n", "hello"},
		{"text.cat", large, large},
		{"text.cat", "$(touch /tmp/x); `id`", "$(touch /tmp/x); `id`"},
		{"text.raw", "hello\n", "hello\n"},
		{"text.args", "", "a b,$HOME;,-n,"},
		{"text.env", "", "text.env|7, $(id)|/evil|path"},
		{"text.value", "", `{"a":1}`},
	} {
		m := &nats.Msg{Subject: c.subject, Data: []byte(c.data), Header: nats.Header{"X-Trace": {"7", "$(id)"}, "PATH": {"/evil"}}}
		answer, err := nc.RequestMsg(m, patience)
		if err != nil || string(answer.Data) != c.want || answer.Header.Get("Nats-Service-Error") != "" {
			t.Errorf("%s of %.80q: %v, %.200v, want %.80q", c.subject, c.data, err, answer, c.want)
		}
	}
}

// A command that fails, takes too long or says too much is an error for who asks, without what is ours.
func TestServeTellsWhatFailed(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	url := s.ClientURL()
	fails := serving(t, url, "bad.exit", "--shell", "--exec", `printf 'secret \033[2J\n' >&2; exit 3`)
	serving(t, url, "bad.slow", "--shell", "--exec", "sleep 600 & sleep 600", "--timeout", "300ms")
	serving(t, url, "bad.large", "--shell", "--exec", "yes")
	for subject, want := range map[string]string{"bad.exit": "exit status 3", "bad.slow": "longer than 300ms", "bad.large": "more than 1048576 bytes"} {
		answer, err := nc.Request(subject, nil, patience)
		if err != nil {
			t.Fatalf("%s: %v", subject, err)
		}
		if got := answer.Header.Get("Nats-Service-Error"); !strings.Contains(got, want) || strings.Contains(got+string(answer.Data), "secret") {
			t.Errorf("%s: %q, want %q", subject, got, want)
		}
	}
	fails.await("secret \uFFFD[2J")
}

// More requests than --concurrency wait, and all are answered.
func TestServeRunsFewCommandsSideBySide(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	dir := t.TempDir()
	// Each command has a file while it runs, and answers with how many there are.
	serving(t, s.ClientURL(), "slow.count", "--concurrency", "2", "--shell", "--exec", `touch `+dir+`/$$; sleep 0.1; ls `+dir+` | wc -l; rm `+dir+`/$$`)
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			answer, err := nc.Request("slow.count", nil, 3*patience)
			if err != nil {
				t.Error(err)
				return
			}
			if n, err := strconv.Atoi(strings.TrimSpace(string(answer.Data))); err != nil || n < 1 || n > 2 {
				t.Errorf("%q run side by side, want 2 at most: %q", answer.Data, answer.Header)
			}
		})
	}
	wg.Wait()
}

// A signal lets what has come be answered, and no command outlives the service.
func TestServeEndsCleanly(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	pids, began := filepath.Join(t.TempDir(), "pids"), filepath.Join(t.TempDir(), "began")
	c := serving(t, s.ClientURL(), "slow.answer", "--shell", "--exec", "touch "+began+"; sleep 0.5; echo done")
	forever := serving(t, s.ClientURL(), "slow.forever", "--shell", "--exec", "sleep 600 & echo $! > "+pids+".new; mv "+pids+".new "+pids+"; wait")
	answered := make(chan error, 1)
	go func() {
		answer, err := nc.Request("slow.answer", nil, patience)
		if err == nil && string(answer.Data) != "done" {
			err = errors.New(string(answer.Data))
		}
		answered <- err
	}()
	if err := nc.PublishRequest("slow.forever", nc.NewInbox(), nil); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{began, pids} {
		for deadline := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			if _, err := os.Stat(file); err == nil {
				break
			} else if time.Now().After(deadline) {
				t.Fatal(err)
			}
		}
	}
	if _, said, code := signaled(t, c, os.Interrupt); code != 0 {
		t.Errorf("exit code %d\n%s", code, said)
	}
	if err := <-answered; err != nil {
		t.Errorf("what came before the end: %v", err)
	}
	if _, said, code := signaled(t, forever, syscall.SIGTERM); code != 0 || !strings.Contains(said, "not all requests were answered") {
		t.Errorf("exit code %d\n%s", code, said)
	}
	text, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(patience); syscall.Kill(pid, 0) == nil && !zombie(pid); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("what a command has started outlives the service")
		}
	}
}

// zombie: it has ended, and in this container nobody may take note.
func zombie(pid int) bool {
	text, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, rest, _ := strings.Cut(string(text), ") ")
	return err == nil && strings.HasPrefix(rest, "Z")
}

func TestMistakesWithServe(t *testing.T) {
	url := plainServer(t, -1).ClientURL()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"a.b"}, "want one of --exec and --value"},
		{[]string{"a.b", "--exec", "cat", "--value", "1"}, "want one of --exec and --value"},
		{[]string{"a.b", "--exec", " "}, `--exec " ": want a command`},
		{[]string{"a.b", "--exec", "no-such-program"}, `--exec "no-such-program"`},
		{[]string{"a.b", "--exec", "echo 'a b'"}, "no shell is asked"},
		{[]string{"a.b", "--exec", "cat; id"}, "no shell is asked"},
		{[]string{"a.b", "--shell", "--exec", "cat", "--", "x"}, "--shell with arguments"},
		{[]string{"a.b", "--value", "1", "--", "x"}, "--value with"},
		{[]string{"a.b", "--exec", "cat", "--concurrency", "0"}, "--concurrency 0"},
		{[]string{"a.b", "--exec", "cat", "--timeout", "0s"}, "--timeout 0s"},
		{[]string{"a.b", "c.d", "--exec", "cat"}, "want one subject"},
		{[]string{"--exec", "cat"}, "want one subject"},
		{[]string{"ab", "--exec", "cat"}, "want a scope and a name"},
	} {
		out, said, code := runTool(t, nil, append([]string{"serve", "-s", url}, c.args...)...)
		if code != exitUsage || out != "" || !strings.Contains(said, c.want) || !strings.Contains(said, "hint: ") {
			t.Errorf("%q: exit code %d, want %q\n%s%s", c.args, code, c.want, out, said)
		}
	}
}
