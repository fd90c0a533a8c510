//go:build !js

package natswire

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
)

// chunked is a connection on which text arrives, at most so many bytes a read.
type chunked struct {
	net.Conn
	text []byte
	size int
}

func (c *chunked) Read(p []byte) (int, error) {
	if len(c.text) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.size)], c.text)
	c.text = c.text[n:]
	return n, nil
}

func (c *chunked) Close() error { return nil }

// route is what subscriptions are known by here.
type route struct{}

var testErrors = Errors{
	Disconnected: errors.New("disconnected"), Timeout: errors.New("timed out"), MessageTooLarge: errors.New("too large"),
	InvalidName: errors.New("invalid name"), Permission: errors.New("not permitted"), Malformed: errors.New("malformed message"),
}

// heard collects what a connection hands on.
type heard struct{ said []string }

func (h *heard) Receive(batch []Inbound) bool {
	add := func(m *Inbound) {
		line := fmt.Sprintf("%s|%s|%v|%s", m.Subject, m.Reply, m.Header, m.Data)
		if m.Number.Stream != 0 {
			line += "|" + string(AppendNumber(nil, m.Number))
		}
		h.said = append(h.said, line)
	}
	for i := range batch {
		if batch[i].Run == nil {
			add(&batch[i])
		} else {
			one := batch[i]
			for _, one.Data = range batch[i].Run {
				add(&one)
				if one.Number.Stream != 0 {
					one.Number.Count++
				}
			}
		}
	}
	return true
}
func (h *heard) Leaving()          { h.said = append(h.said, "leaving") }
func (h *heard) Trouble(err error) { h.said = append(h.said, "trouble: "+err.Error()) }

// hear plays what a server says, in pieces of size bytes, to a wire with the subscriptions 1, to
// a.b, and 2, to a wildcard; the last thing said is the error that ended it.
func hear(text []byte, size int) []string {
	h := &heard{}
	w := listener(&chunked{text: text, size: size}, h)
	err := w.readLoop()
	return append(h.said, err.Error())
}

// hearPoured is hear for a wire that the pieces are poured into.
func hearPoured(text []byte, size int) []string {
	h := &heard{}
	w := listener(&chunked{}, h)
	for len(text) > 0 && !w.over {
		n := copy(w.Room(min(size, len(text))), text)
		w.Filled(n)
		text = text[n:]
	}
	w.Ended(io.EOF)
	return append(h.said, w.err.Error())
}

func listener(c net.Conn, h *heard) *Conn {
	w := newConn(c, h, &Bursts{}, testErrors)
	close(w.accepted)
	for i, subject := range []string{"a.b", "a.*"} {
		w.subs[uint64(i+1)] = &sub{uint64(i + 1), subject, &route{}}
	}
	return w
}

func TestProtoIsTakenApartHoweverItArrives(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	text := "PING\r\nMSG a.b 1 5\r\nhello\r\n+OK\r\nMSG a.c 2 _INBOX.x.1 0\r\n\r\n" +
		"HMSG a.b 1 36 38\r\nNATS/1.0\r\nName: one\r\nName:\t two \r\n\r\nhi\r\n" +
		"HMSG a.b 1 r 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\nMSG gone 7 1\r\nx\r\n" +
		"MSG a.b  1   " + fmt.Sprint(len(large)) + "\r\n" + large + "\r\n" +
		"INFO {\"max_payload\":7,\"ldm\":true}\r\n-ERR 'Permissions Violation for Subscription to \"x\"'\r\nPONG\r\nMSG a.b 1 4\r\n\r\n\r\n\r\n-ERR 'Stale Connection'\r\n"
	want := []string{
		"a.b||map[]|hello", "a.c|_INBOX.x.1|map[]|", "a.b||map[Name:[one two ]]|hi",
		"a.b|r|map[Description:[No Responders] Status:[503]]|", "a.b||map[]|" + large,
		"leaving", "trouble: not permitted: Permissions Violation for Subscription to \"x\"",
		"a.b||map[]|\r\n\r\n", "nats: stale connection",
	}
	for _, size := range []int{1, 2, 3, 7, 64, 4096, 1 << 20} {
		if got := hear([]byte(text), size); !reflect.DeepEqual(got, want) {
			t.Fatalf("in pieces of %d: got %.500q, want %.500q", size, got, want)
		}
		if got := hearPoured([]byte(text), size); !reflect.DeepEqual(got, want) {
			t.Fatalf("poured in pieces of %d: got %.500q, want %.500q", size, got, want)
		}
	}
}

func TestProtoRefusesWhatNoServerSays(t *testing.T) {
	for _, text := range []string{
		"HTTP/1.1 400 Bad Request\r\n", "\r\n", "MSG\r\n", "MSG a.b 1\r\n", "MSG a.b 1 r x 5\r\nhello\r\n", "MSG a.b x 5\r\nhello\r\n",
		"MSG a.b 1 -5\r\n", "MSG a.b 1 99999999999\r\n", "MSG a.b 1 99999999999999999999999\r\n", "MSG a.b 1 5\r\nhello!\r\n",
		"HMSG a.b 1 5\r\nhello\r\n", "HMSG a.b 1 9 5\r\nhello\r\n", "INFO {\r\n", strings.Repeat("x", maxLine+2),
	} {
		if got := hear([]byte(text), 1<<20); len(got) != 1 || !strings.Contains(got[0], ErrProtocol.Error()) {
			t.Errorf("%.60q: got %q, want %v", text, got, ErrProtocol)
		}
	}
}

// Servers pass headers on as they are: whatever a publisher sends as headers, the message is delivered,
// with those that can be read, and the connection lives.
func TestMalformedHeadersEndNoConnection(t *testing.T) {
	for headers, want := range map[string]string{
		"NATS/1.0\r\nno colon\r\nA: 1\r\n\r\n":       "map[A:[1]]",
		"NATS/1.0\r\n: no name\r\nA: 1\r\n\r\n":      "map[A:[1]]",
		"NATS/1.0\r\nA: 1\r\n":                       "map[A:[1]]",
		"NATS/1.0\r\nA: 1":                           "map[A:[1]]",
		"NATS/1.0\nA: 1\nB: 2\n\n":                   "map[A:[1] B:[2]]",
		"nats/1.0\r\na: 1\r\n\r\n":                   "map[a:[1]]",
		"NATS/1.0\r\nA: 1\r\n  more\r\nB: 2\r\n\r\n": "map[A:[1 more] B:[2]]",
		"NATS/1.0\r\nA: 1\nAdmin: yes\r\n\r\n":       "map[A:[1 Admin: yes]]",
		"NATS/1.0\r\nA: 1\rAdmin: yes\r\n\r\n":       "map[A:[1 Admin: yes]]",
		"A: 1\r\nB: 2\r\n\r\n":                       "map[A:[1] B:[2]]",
		"NATS/1.0\r\nA: 1\r\n\r\nB: 2\r\n":           "map[A:[1]]",
		"NATS/1.0\r\n folded first\r\n\r\n":          "map[]",
		"hello":                                      "map[]",
		"\r\n":                                       "map[]",
		"\xff\x00":                                   "map[]",
	} {
		text := fmt.Sprintf("HMSG a.b 1 %d %d\r\n%shi\r\nMSG a.b 1 5\r\nafter\r\n-ERR 'over'\r\n", len(headers), len(headers)+2, headers)
		got := hear([]byte(text), 1<<20)
		if len(got) != 4 || !strings.HasPrefix(got[0], "trouble: malformed message: headers of a message on a.b: ") ||
			got[1] != "a.b||"+want+"|hi" || got[2] != "a.b||map[]|after" || got[3] != "nats: over" {
			t.Errorf("%q: got %q, want one complaint, %s with hi, and what follows", headers, got, want)
		}
	}
}

// What is the same in a row is one run, however it arrives; what differs in more than size is not.
func TestProtoFindsRuns(t *testing.T) {
	large := strings.Repeat("x", 1000)
	text := "MSG a.b 1 1\r\nx\r\nMSG a.b 1 0\r\n\r\nMSG a.b 1 1000\r\n" + large + "\r\nMSG a.b 1 2\r\n\r\n\r\n" +
		"MSG a.b 2 1\r\nq\r\nMSG a.c 2 1\r\nr\r\nMSG a.c 2 1\r\ns\r\nMSG a.c 2 re 1\r\nt\r\nMSG a.c 2 re 1\r\nu\r\n" +
		"HMSG a.c 2 12 12\r\nNATS/1.0\r\n\r\n\r\nMSG a.c 2 1\r\nv\r\nMSG a.c 2 1\r\nw\r\nPING\r\nMSG a.c 2 1\r\nx\r\n"
	want := []string{"a.b 1,0,1000,2", "a.b 1", "a.c 1,1", "a.c 1", "a.c 1", "a.c 0", "a.c 1,1", "a.c 1"}
	c := &counted{}
	w := listener(&chunked{}, &c.heard)
	w.receiver = c
	copy(w.Room(len(text)), text)
	w.Filled(len(text))
	if !reflect.DeepEqual(c.runs, want) {
		t.Errorf("runs are %q, want %q", c.runs, want)
	}
	whole := c.said
	for cut := range text {
		c := &counted{}
		w := listener(&chunked{}, &c.heard)
		w.receiver = c
		for _, part := range []string{text[:cut], text[cut:]} {
			copy(w.Room(len(part)), part)
			w.Filled(len(part))
		}
		if w.over || !reflect.DeepEqual(c.said, whole) {
			t.Fatalf("cut after %d bytes: got %.300q, %v; want %.300q", cut, c.said, w.err, whole)
		}
	}
	// What goes wrong within a run ends it, and the connection.
	for _, bad := range []string{"MSG a.b 1 2\r\nx\r\nPING\r\n", "MSG a.b 1 x\r\n", "MSG a.b 1 \r\n", "MSG a.b 1 99999999999\r\n", "MSG a.b 1 1\rxx\r\n"} {
		got := hear([]byte("MSG a.b 1 1\r\nx\r\nMSG a.b 1 1\r\ny\r\n"+bad), 1<<20)
		if len(got) != 3 || !strings.Contains(got[2], ErrProtocol.Error()) {
			t.Errorf("%q after a run: heard %q, want two messages and %q", bad, got, ErrProtocol)
		}
	}
}

// counted notes the sizes of runs, too.
type counted struct {
	heard
	runs []string
}

func (c *counted) Receive(batch []Inbound) bool {
	for i := range batch {
		run := batch[i].Run
		if run == nil {
			run = [][]byte{batch[i].Data}
		}
		var sizes []string
		for _, data := range run {
			sizes = append(sizes, fmt.Sprint(len(data)))
		}
		c.runs = append(c.runs, batch[i].Subject+" "+strings.Join(sizes, ","))
	}
	return c.heard.Receive(batch)
}

func FuzzProto(f *testing.F) {
	f.Add([]byte("MSG a.b 1 5\r\nhello\r\nHMSG a.c 2 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n"), 3)
	f.Add([]byte("MSG a.c 2 1\r\nx\r\nMSG a.c 2 10\r\n0123456789\r\nMSG a.c 2 0\r\n\r\nMSG a.c 1 1\r\ny\r\nMSG a.c 1 r 1\r\nz\r\n"), 7)
	f.Add([]byte("INFO {\"ldm\":true}\r\n-ERR 'x'\r\n"), 1)
	f.Add([]byte("HMSG a.b 1 30 30\r\nNATS/1.0 503 No Responders\r\n\r\n\r\n"), 5)
	f.Fuzz(func(t *testing.T, text []byte, size int) {
		whole := hear(bytes.Clone(text), 1<<20)
		size = max(1, size%4096)
		if poured := hearPoured(bytes.Clone(text), size); !reflect.DeepEqual(whole, poured) {
			t.Errorf("at once %q, poured in pieces %q", whole, poured)
		}
		if pieces := hear(text, size); !reflect.DeepEqual(whole, pieces) {
			t.Errorf("at once %q, in pieces %q", whole, pieces)
		}
	})
}

func TestProtoAnnouncesMessagesAsTheyAre(t *testing.T) {
	for want, m := range map[string]Msg{
		"PUB a.b 2\r\nhi\r\n":   {Subject: "a.b", Data: []byte("hi")},
		"PUB a.b r.1 0\r\n\r\n": {Subject: "a.b", Reply: "r.1"},
		"HPUB a.b r 25 27\r\nNATS/1.0\r\nA: one\r\nA: \r\n\r\nhi\r\n": {Subject: "a.b", Reply: "r", Header: map[string][]string{"A": {"one", ""}}, Data: []byte("hi")},
	} {
		if got := string(appendPub(nil, &m)); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
