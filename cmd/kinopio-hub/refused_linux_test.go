package main

import (
	"context"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// playRefused becomes the program of its arguments on a system that locks no files and knows neither
// SO_REUSEPORT nor IP_MULTICAST_ALL, as some sandboxes are.
func playRefused(_ context.Context, args []string, _ <-chan string, _ io.Writer) error {
	const data = 16 // Of the arguments in struct seccomp_data.
	load := func(offset uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offset}
	}
	unless := func(value int, skip uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(value), Jf: skip}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	refuse := func(err syscall.Errno) unix.SockFilter { return answer(unix.SECCOMP_RET_ERRNO | uint32(err)) }
	filter := []unix.SockFilter{
		load(0), // The number of the call.
		unless(unix.SYS_FLOCK, 1), refuse(unix.ENOLCK),
		unless(unix.SYS_SETSOCKOPT, 9), load(data + 16), // The option, then its level.
		unless(unix.SO_REUSEPORT, 3), load(data + 8), unless(unix.SOL_SOCKET, 5), refuse(unix.ENOPROTOOPT),
		unless(unix.IP_MULTICAST_ALL, 3), load(data + 8), unless(unix.IPPROTO_IP, 1), refuse(unix.ENOPROTOOPT),
		answer(unix.SECCOMP_RET_ALLOW),
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&program)), 0, 0); err != nil {
		return err
	}
	var env []string
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "KINOPIO_LAB_ROLE=") {
			env = append(env, e)
		}
	}
	path, err := exec.LookPath(args[0])
	if err != nil {
		return err
	}
	return syscall.Exec(path, args, env)
}

func TestLeafAutoDoesWithoutWhatASandboxRefuses(t *testing.T) {
	network := lab.New(t)
	a, b := network.Host("a"), network.Host("b")
	command := func(node, cache string) []string {
		return []string{"kinopio-hub", "leaf", "auto", "--discovery-namespace", "test", "--node-id", node, "--json-lines", "--parent-pipe", "--cache-dir", cache}
	}
	const told = `this system locks no files here`
	first := a.Play("refused", command("node-a", t.TempDir())...)
	first.Await(leading, told, "SO_REUSEPORT", "IP_MULTICAST_ALL")
	second := b.Play("refused", command("node-b", t.TempDir())...)
	second.Await(following, `"nodeId":"node-a"`, told)
	first.Stop()
	second.Await(leading)
	second.Stop()
}

// A device whose disk is read-only, or full, takes part with an identity of one life, if it needs no
// certificate of its own.
func TestLeafAutoDoesWithoutACache(t *testing.T) {
	host := lab.New(t).Host("a")
	for name, script := range map[string]string{
		"read-only": "mount -t tmpfs -o ro,size=64k none $0",
		"full":      "mount -t tmpfs -o size=64k none $0 && ! head -c 1000000 /dev/zero > $0/full 2>/dev/null",
	} {
		t.Run(name, func(t *testing.T) {
			cache := t.TempDir()
			run := func(more ...string) *lab.Process {
				args := append([]string{"-m", "sh", "-c", script + ` && exec kinopio-hub leaf auto --discovery-namespace test --cache-dir $0 --json-lines --parent-pipe "$@"`, cache}, more...)
				return host.Start("leaf auto", host.Command(context.Background(), "unshare", args...))
			}
			p := run("--no-websocket-tls")
			p.Await(leading, `"nodeId":"node-`, "identity is not kept")
			p.Stop()
			p = run()
			p.Await("ended", "exit status 2", "--cache-dir", cache)
		})
	}
}

// A root that is there serves, also where nothing can be written.
func TestReadOnlyCacheWithARootIsGoodEnough(t *testing.T) {
	host := lab.New(t).Host("a")
	cache := t.TempDir()
	if out, err := host.Command(t.Context(), "kinopio-hub", "ca", "path", "--cache-dir", cache).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := host.Start("leaf start", host.Command(context.Background(), "unshare", "-m", "sh", "-c",
		"mount --bind $0 $0 && mount -o remount,ro,bind $0 && exec kinopio-hub leaf start --discovery-namespace test --cache-dir $0 --json-lines --parent-pipe", cache))
	p.Await(`"phase":"running"`, `"mode":"generated"`, host.Address.String())
	p.Stop()
}
