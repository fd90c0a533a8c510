package leaf

import (
	"bytes"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"testing"
	"time"
)

// However a stream is cut into pieces, its operations' ends are known and nothing else is taken for one.
func TestBoundariesOfOperations(t *testing.T) {
	operations := []string{
		"CONNECT {\"verbose\":false}\r\n", "PING\r\n", "SUB a.b 1\r\n", "PUB a 0\r\n\r\n", "pub a.b reply\t12\r\nPONG\r\nPING\r\n\r\n",
		"HPUB x 14 20\r\nNATS/1.0\r\nA:\r\nPUB \r\n\r\n", "PUB a 3 \r\n\n\r\n\r\n", "PONG\n", "UNSUB 1 20\r\n", "PUB b 70000\r\n" + strings.Repeat("\r\nP", 23333) + "X\r\n",
	}
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		ends, stream := map[int]bool{}, operations[0]
		ends[len(stream)] = true
		for range 20 {
			stream += operations[random.IntN(len(operations))]
			ends[len(stream)] = true
		}
		var b boundary
		for at := 0; at < len(stream); {
			n := min(1+random.IntN(1+random.IntN(40)*random.IntN(3000)), len(stream)-at)
			b.pass([]byte(stream[at : at+n]))
			if at += n; b.between() != ends[at] {
				t.Fatalf("round %d, after %q: between operations: %v", round, stream[max(0, at-80):at], b.between())
			}
		}
	}
	for _, wrong := range []string{"PUB a\r\n", "PUB a -1\r\n", "HPUB a 1 99999999999999999999\r\n", strings.Repeat("x", mostLine+1)} {
		b := boundary{}
		b.pass([]byte("CONNECT {}\r\n" + wrong))
		if b.pass([]byte("\r\n\r\n")); b.between() {
			t.Errorf("%.40q: taken for whole operations", wrong)
		}
	}
}

// Nobody speaks in the middle of a message, nor for who has not begun, nor for who is silent for too long.
func TestSilentClientsAreSpokenFor(t *testing.T) {
	for name, c := range map[string]struct {
		said   string
		silent time.Duration
		spoken string
	}{
		"silent":          {"CONNECT {}\r\nPING\r\n", wtSilent, "PONG\r\n"},
		"active":          {"CONNECT {}\r\nPING\r\n", 0, ""},
		"in a message":    {"CONNECT {}\r\nPUB a 10\r\n1234\r\n", wtSilent, ""},
		"in a line":       {"CONNECT {}\r\nPUB a", wtSilent, ""},
		"not begun":       {"", wtSilent, ""},
		"long gone":       {"CONNECT {}\r\nPING\r\n", wtPatient, ""},
		"almost too long": {"CONNECT {}\r\nPING\r\n", wtPatient - time.Second, "PONG\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			near, far := net.Pipe()
			got := make(chan string, 1)
			go func() {
				all, _ := io.ReadAll(far) // It ends with near.
				got <- string(all)
			}()
			b := newBacker(near)
			if _, err := b.Write([]byte(c.said)); err != nil {
				t.Fatal(err)
			}
			b.mu.Lock()
			b.heard = time.Now().Add(-c.silent)
			b.mu.Unlock()
			b.speak()
			b.end()
			near.Close()
			if all := <-got; all != c.said+c.spoken {
				t.Errorf("the server got %q", all)
			}
		})
	}
}

// A page that sleeps keeps its session as it would a WebSocket's: much longer than the server waits for TCP clients.
func TestSleepingPagesKeepTheirSessions(t *testing.T) {
	t.Parallel()
	l, _ := startLeaf(t, config(t))
	conn, err := wtDialer{at: manifestWT(t, l)}.Dial("", "")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("CONNECT {\"verbose\":false}\r\nPING\r\n")); err != nil {
		t.Fatal(err)
	}
	const sleep = 5 * pingInterval // The server's pings are not answered: three are the end.
	var all bytes.Buffer
	buffer := make([]byte, 4096)
	_ = conn.SetReadDeadline(time.Now().Add(sleep))

	for err == nil {
		var n int
		n, err = conn.Read(buffer)
		all.Write(buffer[:n])
	}
	if deadline, ok := err.(net.Error); !ok || !deadline.Timeout() {
		t.Fatalf("the session ended: %v; it said %q", err, all.String())
	}
	if n := strings.Count(all.String(), "PING\r\n"); n < 3 {
		t.Errorf("%d pings in %v: this shows nothing", n, sleep)
	}
}
