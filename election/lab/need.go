package lab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"testing"
)

// Need skips the test, with the reason, where network namespaces cannot be made.
func Need(t testing.TB) {
	t.Helper()
	if err := possible(); err != nil {
		t.Skipf("this test makes network namespaces: %v", err)
	}
}

// possible makes what a lab is made of, once a process, and removes it.
var possible = sync.OnceValue(func() (err error) {
	if runtime.GOOS != "linux" {
		return fmt.Errorf("%s has none", runtime.GOOS)
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return fmt.Errorf("the command ip is missing; the Debian package iproute2 brings it: %w", err)
	}
	if os.Geteuid() != 0 {
		return errors.New("only root may; run the tests as root")
	}
	name := fmt.Sprintf("%s%d-try", prefix, os.Getpid())
	if _, err := ip("netns", "add", name); err != nil {
		return err
	}
	defer func() {
		_, gone := ip("netns", "del", name)
		err = errors.Join(err, gone)
	}()
	for _, args := range [][]string{
		{"-n", name, "link", "add", "try0", "type", "bridge"},
		{"-n", name, "link", "add", "try1", "type", "veth", "peer", "name", "try2"},
		{"netns", "exec", name, "true"},
	} {
		if _, err := ip(args...); err != nil {
			return err
		}
	}
	return nil
})
