package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// screen is what a program has printed at a terminal.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(p)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// await returns when the screen has shown text.
func (s *screen) await(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(s.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%q is not shown:\n%q", text, s.String())
		}
	}
}

// atTerminal runs the program with its output and errors at a terminal.
func atTerminal(t *testing.T, args ...string) (*exec.Cmd, *screen) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	cmd := exec.CommandContext(t.Context(), "kinopio-hub", args...)
	cmd.Env = append(cleanEnvironment(), "TERM=xterm", "NO_COLOR=")
	cmd.Stdout, cmd.Stderr = tty, tty
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := &screen{}
	go func() {
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			_, _ = shown.Write(buffer[:n])
			if err != nil {
				return // The program has ended.
			}
		}
	}()
	watchdog := time.AfterFunc(3*patience, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() { watchdog.Stop(); _ = cmd.Process.Kill() })
	return cmd, shown
}

// At a terminal a line has the time, long JSON is laid out, and what others send commands nothing.
func TestSubAtATerminal(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	cmd, shown := atTerminal(t, "sub", "robot.>", "-s", s.ClientURL(), "--count", "4")
	shown.await(t, "listening to robot.>")
	for _, data := range []string{escapes, "one\ntwo", `{"long":"` + strings.Repeat("x", wideValue) + `"}`, strings.Repeat("w", 2*longValue)} {
		if err := nc.Publish("robot.v", []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	shown.await(t, "bytes: --json or --raw")
	text := shown.String()
	for _, want := range []string{"\x1b[1mrobot.v\x1b[0m  a\uFFFD[2J\uFFFD31mb\uFFFDc\uFFFD\r\n", "one\r\n    two\r\n", "{\r\n      \"long\": \"xxx", "w…\r\n    (32768 bytes: --json or --raw prints all of it)"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown:\n%q", want, text)
		}
	}
	for _, bad := range []string{"\x1b[2J", "\u009b", "\u202e", "\x07"} {
		if strings.Contains(text, bad) {
			t.Errorf("%q is sent to the terminal", bad)
		}
	}
}

// The live table is drawn in one place, and the whole list is printed at the end.
func TestLsAtATerminal(t *testing.T) {
	s := plainServer(t, -1)
	var subjects []string
	for i := range lsLiveRows + 5 {
		subjects = append(subjects, fmt.Sprintf("robot.%d.%s", i, strings.Repeat("n", 60)))
	}
	publishing(t, client(t, s), append(subjects, "robot.\x1b[2J")...)
	cmd, shown := atTerminal(t, "ls", "-s", s.ClientURL(), "--for", "0s")
	shown.await(t, "and 6 more")
	shown.await(t, fmt.Sprintf("\x1b[%dA\x1b[J", lsLiveRows+2)) // drawn again
	if text := shown.String(); strings.Contains(text, "\x1b[2J") || strings.Contains(text, strings.Repeat("n", 60)) {
		t.Errorf("%q", text)
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, shown)
	}
	shown.await(t, strings.Repeat("n", 60)+"\r\n")
}

// A reader that takes nothing costs no more memory than is promised, and what is dropped is told.
func TestSubWithAStuckReaderIsBounded(t *testing.T) {
	s := plainServer(t, -1)
	nc := client(t, s)
	c := startTool(t, nil, "sub", "robot.>", "-s", s.ClientURL(), "--json")
	c.await("listening to robot.>")
	messages, limit := 4000, 300_000
	if raced { // The program is this one, and takes more.
		messages, limit = 14_000, 1_000_000
	}
	data := bytes.Repeat([]byte("x"), 100_000)
	for range messages {
		if err := nc.Publish("robot.v", data); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	c.await("warning: slow consumer")
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	var kB int
	if _, err := fmt.Sscan(peak, &kB); err != nil {
		t.Fatal(err)
	}
	t.Logf("peak %d MB of %d", kB/1000, messages/10)
	if kB > limit {
		t.Errorf("peak %d kB after %d MB, want less than %d", kB, messages/10, limit)
	}
}
