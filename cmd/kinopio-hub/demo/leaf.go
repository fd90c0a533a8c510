package demo

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// leafState is where the leaf's process is in its life.
type leafState string

const (
	leafStopped  leafState = "stopped"
	leafStarting leafState = "starting"
	leafRunning  leafState = "running"
	leafStopping leafState = "stopping"
)

// leafStatus is what the page and the terminal are told of the leaf.
type leafStatus struct {
	State  leafState `json:"state"`
	How    string    `json:"how,omitempty"` // why it is stopped: "stopped", "killed" or "ended"
	Detail string    `json:"detail,omitempty"`
	PID    int       `json:"pid,omitempty"`
	Bridge string    `json:"bridge,omitempty"`
	TookMs int64     `json:"tookMs,omitempty"` // from the start of the process to running
}

// leafConfig is what every start of the leaf has in common.
type leafConfig struct {
	executable string
	backbone   string
	runtimeDir string
	cacheDir   string
	tls        bool
	address    string           // for devices on the LAN; "": it is for this machine
	secret     string           // of the namespace; "": its answers are not signed, and it gives no tickets
	origins    []string         // whose pages may use it
	changed    func(leafStatus) // called in order, never at the same time
}

// leafProcess runs the leaf as a child process, with the same addresses each time. It ends
// with its parent, even when that is killed: the child watches its standard input.
type leafProcess struct {
	cfg          leafConfig
	ports        [4]int // client, websocket, discovery, monitor
	websocketURL string
	manifestURL  string
	clientURL    string
	monitorURL   string

	mu     sync.Mutex
	status leafStatus
	child  *leafChild // nil unless a process lives
	closed bool
}

// leafChild is one life of the leaf.
type leafChild struct {
	cmd     *exec.Cmd
	stdin   io.Closer // closing it ends the leaf too
	started time.Time
	asked   string // how we ended it: "stopped" or "killed"
	done    chan struct{}
}

func newLeafProcess(cfg leafConfig) (*leafProcess, error) {
	if cfg.address == "" {
		cfg.address = loopback
	}
	l := &leafProcess{cfg: cfg, status: leafStatus{State: leafStopped}}
	if err := freePorts(l.ports[:], cfg.address); err != nil {
		return nil, fmt.Errorf("find ports for the leaf: %w", err)
	}
	ws, http := "ws", "http"
	if cfg.tls {
		ws, http = "wss", "https"
	}
	at := func(scheme, address string, port int) string {
		return scheme + "://" + net.JoinHostPort(address, strconv.Itoa(port))
	}
	l.clientURL = at("nats", loopback, l.ports[0])
	l.websocketURL = at(ws, cfg.address, l.ports[1])
	l.manifestURL = at(http, cfg.address, l.ports[2]) + manifestPath
	l.monitorURL = at("http", loopback, l.ports[3])
	return l, nil
}

const loopback = "127.0.0.1"

// freePorts fills ports with different free ports of an address. They lie below those that
// systems give to whoever asks for any port, so that nobody takes them while the leaf is stopped.
func freePorts(ports []int, address string) error {
	const lowest, highest = 20_000, 32_000
	var err error
	for i := range ports {
		var listener net.Listener
		for range 100 {
			port := lowest + rand.IntN(highest-lowest)
			if listener, err = net.Listen("tcp", net.JoinHostPort(address, strconv.Itoa(port))); err == nil {
				ports[i] = port
				break
			}
		}
		if err != nil {
			return fmt.Errorf("no free port between %d and %d: %w", lowest, highest, err)
		}
		defer listener.Close() // all stay open until the last is found, so that they differ
	}
	return nil
}

func (l *leafProcess) arguments() []string {
	args := []string{
		"leaf", "start", "--discovery-namespace", namespace, "--node-id", "demo-leaf",
		"--backbone-server", l.cfg.backbone, "--lan-bind-address", l.cfg.address,
		"--runtime-dir", l.cfg.runtimeDir, "--json-lines", "--parent-pipe",
	}
	for i, name := range []string{"--client-port", "--websocket-port", "--discovery-port", "--monitor-port"} {
		args = append(args, name, strconv.Itoa(l.ports[i]))
	}
	for _, origin := range l.cfg.origins {
		args = append(args, "--allowed-origin", origin)
	}
	if l.cfg.cacheDir != "" {
		args = append(args, "--cache-dir", l.cfg.cacheDir)
	}
	if !l.cfg.tls {
		args = append(args, "--no-websocket-tls")
	}
	if l.cfg.secret != "" {
		args = append(args, "--tickets") // it is open to the LAN, and for the demo's pages and programs only
	}
	return args
}

// start runs the leaf unless it runs already. It does not wait for it.
func (l *leafProcess) start() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.child != nil {
		return
	}
	cmd := exec.Command(l.cfg.executable, l.arguments()...)
	// The demo must not change what this machine trusts; the page shows how to.
	cmd.Env = append(os.Environ(), "KINOPIO_SKIP_CA_TRUST_INSTALL=1")
	if l.cfg.secret != "" {
		cmd.Env = append(cmd.Env, "KINOPIO_NAMESPACE_SECRET="+l.cfg.secret)
	}
	var complaint tail
	cmd.Stderr = &complaint
	stdin, err := cmd.StdinPipe()
	if err != nil {
		l.set(leafStatus{State: leafStopped, How: "ended", Detail: err.Error()})
		return
	}
	stdout, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		l.set(leafStatus{State: leafStopped, How: "ended", Detail: err.Error()})
		return
	}
	c := &leafChild{cmd: cmd, stdin: stdin, started: time.Now(), done: make(chan struct{})}
	l.child = c
	l.set(leafStatus{State: leafStarting, PID: cmd.Process.Pid})
	go func() {
		defer close(c.done)
		l.follow(c, stdout)
		err := cmd.Wait()
		stdin.Close()
		l.ended(c, err, complaint.String())
	}()
}

// leafDocument is the part of the leaf's status document that the demo reads.
type leafDocument struct {
	Phase       string `json:"phase"`
	BridgeState string `json:"bridgeState"`
	LastError   string `json:"lastError"`
}

// follow reads the leaf's status documents until it closes its output.
func (l *leafProcess) follow(c *leafChild, stdout io.Reader) {
	lines := bufio.NewScanner(stdout)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var doc leafDocument
		if json.Unmarshal(lines.Bytes(), &doc) != nil {
			continue
		}
		l.mu.Lock()
		s := l.status
		if c.asked == "" { // what it says while it ends is no news
			s.Bridge, s.Detail = doc.BridgeState, doc.LastError
		}
		if doc.Phase == "running" && s.State == leafStarting {
			s.State, s.TookMs = leafRunning, time.Since(c.started).Milliseconds()
		}
		if s != l.status {
			l.set(s)
		}
		l.mu.Unlock()
	}
}

// ended says that the process is gone, and why.
func (l *leafProcess) ended(c *leafChild, err error, complaint string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.child = nil
	s := leafStatus{State: leafStopped, How: c.asked}
	if s.How == "" {
		s.How = "ended"
		s.Detail = complaint
		if s.Detail == "" && err != nil {
			s.Detail = err.Error()
		}
	}
	l.set(s)
}

// stop asks the leaf to end, as a planned stop: its clients are told to move first.
func (l *leafProcess) stop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	c := l.child
	if c == nil || c.asked != "" {
		return
	}
	c.asked = "stopped"
	s := l.status
	s.State = leafStopping
	l.set(s)
	if c.cmd.Process.Signal(syscall.SIGTERM) != nil {
		c.stdin.Close() // a system without SIGTERM
	}
}

// kill ends the leaf at once, as a pulled plug does.
func (l *leafProcess) kill() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.child; c != nil {
		c.asked = "killed"
		_ = c.cmd.Process.Kill() // it may have ended just now
	}
}

// close ends the leaf for good, killing it when it takes longer than 1.5 s.
func (l *leafProcess) close() {
	l.mu.Lock()
	l.closed = true
	c := l.child
	l.mu.Unlock()
	if c == nil {
		return
	}
	l.stop()
	select {
	case <-c.done:
	case <-time.After(1500 * time.Millisecond):
		l.kill()
		<-c.done
	}
}

// set keeps s and tells of it; l.mu is held.
func (l *leafProcess) set(s leafStatus) {
	l.status = s
	l.cfg.changed(s)
}

// running says whether the leaf serves.
func (l *leafProcess) running() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status.State == leafRunning
}

// tail keeps the last kilobyte written to it, as one line.
type tail struct {
	mu   sync.Mutex
	data []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if n := len(t.data) - 1024; n > 0 {
		t.data = t.data[n:]
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(strings.Fields(string(bytes.ToValidUTF8(t.data, nil))), " ")
}
