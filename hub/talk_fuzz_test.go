//go:build !js

package hub

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// fuzzedFinder is one of a hub that is not connected. With a key only signed answers count.
func fuzzedFinder(f *testing.F, key ed25519.PublicKey) *finder {
	cfg, err := Config{Servers: []string{"wss://backbone.example.com"}, Discovery: Discovery{Enabled: true, Namespace: "studio"}}.normalize()
	if err != nil {
		f.Fatal(err)
	}
	h := &Hub{cfg: cfg}
	h.cfg.leaves.hub = h
	return &finder{h: h, key: key, place: "203-0-113-7", refusals: map[string]refusal{}, proven: map[string]transport.Reach{}}
}

// FuzzAnswer: whoever answers the question where a leaf is leads hubs to WebSockets with TLS on a LAN, and with a
// namespace key nowhere.
func FuzzAnswer(f *testing.F) {
	key, _, err := ed25519.GenerateKey(nil)
	if err != nil {
		f.Fatal(err)
	}
	open, keyed := fuzzedFinder(f, nil), fuzzedFinder(f, key)
	const leaf = `{"version":"1","expiresAt":"2099-01-02T03:04:09.000Z","wssUrl":"wss://10.0.0.7:8443","bridgeState":"connected","isLeader":true,"nodeId":"n","discoveryNamespace":"studio",`
	f.Add("2026-01-02T03:04:05Z", "", []byte(leaf+`"publicAddresses":["203.0.113.7"],"tickets":true}`))
	f.Add("2026-01-02T03:04:05Z", strings.Repeat("A", 103), []byte(leaf+`"webTransport":[{"url":"https://10.0.0.7:8443/webtransport","certificateHashes":["AA=="]}],"rootPem":"x"}`))
	f.Add("never", "MFRGG", []byte(`{"publicAddresses":[7],"nodeId":{}}`))
	f.Fuzz(func(t *testing.T, at, signature string, body []byte) {
		header := Header{headerAt: {at}, headerSignature: {signature}}
		if _, err := keyed.readAnswer("0123456789abcdefghijkl", header, body); err == nil || len(keyed.proven) > 0 {
			t.Error("forged")
		}
		one, err := open.readAnswer("0123456789abcdefghijkl", header, body)
		if err != nil {
			return
		}
		u, err := url.Parse(one.target.url)
		if err != nil || u.Scheme != "wss" || u.User != nil {
			t.Fatalf("leads to %q", one.target.url)
		}
		if err := mayLeadTo(one.target.url, "https://leaf.invalid", open.h.cfg.Servers); err != nil {
			t.Errorf("leads to %q: %v", one.target.url, err)
		}
		if n := len(open.h.cfg.leaves.byURL); n > maxLeafRecords {
			t.Errorf("%d leaves are kept", n)
		}
	})
}

// FuzzTicketAnswer: a ticket counts for the leaf and the key that it was asked for, and with a namespace key it is signed.
func FuzzTicketAnswer(f *testing.F) {
	raw := make([]byte, ed25519.PublicKeySize)
	text := append([]byte{nkeyNamespace}, raw...)
	key := nkeyText.EncodeToString(binary.LittleEndian.AppendUint16(text, crc16(text)))
	h := fuzzedFinder(f, nil).h
	const server, public = "wss://10.0.0.7:8443", "UABC"
	f.Add("2026-01-02T03:04:05Z", "", []byte(`{"nodeId":"n","wssUrl":"wss://10.0.0.7:8443","key":"UABC","expiresInMs":10000}`))
	f.Add("2026-01-02T03:04:05Z", "MFRGG", []byte(`{"wssUrl":"wss://u:p@10.0.0.7:8443/","key":"UABC","error":"\u001b[31m"}`))
	f.Add("", "", []byte(`{"wssUrl":7}`))
	f.Fuzz(func(t *testing.T, at, signature string, body []byte) {
		m := &Message{Header: Header{headerAt: {at}, headerSignature: {signature}}, Data: body}
		h.cfg.Discovery.NamespaceKey = key
		if h.checkTicket(m, server, "0123456789abcdefghijkl", public) == nil {
			t.Error("forged")
		}
		h.cfg.Discovery.NamespaceKey = ""
		switch err := h.checkTicket(m, server, "0123456789abcdefghijkl", public); {
		case err == nil && (!strings.Contains(string(body), "10.0.0.7") || !strings.Contains(string(body), "UABC") && !strings.Contains(string(body), `\u`)):
			t.Errorf("%s is a ticket", body)
		case err != nil && strings.Contains(err.Error(), "\x1b"):
			t.Errorf("%q", err)
		}
	})
}

// FuzzTalk: whatever members of the account say on the subjects that hubs talk on, the hub goes on, and hears what is
// published.
func FuzzTalk(f *testing.F) {
	f.Add("sync\t\t\tcounts 0000001|00000010001 5 a.b\nsync\t\t\tback\nask\t\t\t00000010001 1 5 0 a.b\nnews\t\t\t{\"publicAddresses\":[\"203.0.113.7\"]}")
	f.Add("a.b\tKseq:00000010001.1\t\tx\na.b\tKseq:00000010001.9\t\ty\nagain\t\tKseq-Gone: 00000010001 2 8 9 0\t\nagain\tKseq:00000010001.2\t\tz")
	f.Add("beat\t\t\tx y\noffer\t\t\t2.AAAAAAA v.x\nv.x\t\tKset: 2.AAAAAAA\thello\nv.x\t\tKset: 1fffffffffffff.zzzzzzz+\t\nkept\t\t\t\ninbox\t\tKset: 3.AAAAAAA\thi")
	f.Fuzz(func(t *testing.T, script string) {
		synctest.Test(t, func(t *testing.T) {
			n := &fakeNet{servers: map[string]*fakeServer{near: {rtt: 10 * time.Millisecond}}}
			h := openFake(t, n, Config{Servers: []string{near}, Discovery: Discovery{Enabled: true, Namespace: "studio"}})
			if err := h.Connected(context.Background()); err != nil {
				t.Fatal(err)
			}
			heard := make(chan string, 1000)
			if _, err := h.Subscribe("a.b", SubOptions{}, func(m *Message) {
				select {
				case heard <- string(m.Data):
				default:
				}
			}); err != nil {
				t.Fatal(err)
			}
			h.keeping().follow("v.x", func(keptChange) {})
			if err := h.Publish(OutMsg{Subject: "a.b", Data: []byte("first")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(3 * time.Second)
			said := 0
			for line := range strings.Lines(script) {
				if said++; said > 100 {
					break
				}
				parts := append(strings.SplitN(strings.TrimSuffix(line, "\n"), "\t", 4), "", "", "")
				tell(n, h, parts[0], parts[1], parts[2], strings.ReplaceAll(parts[3], "|", "\n"))
				if said%10 == 0 {
					time.Sleep(100 * time.Millisecond)
				}
			}
			time.Sleep(2 * time.Minute)
			if err := h.Publish(OutMsg{Subject: "a.b", Data: []byte("last")}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			for {
				select {
				case data := <-heard:
					if data == "last" {
						return
					}
					continue
				default:
				}
				t.Fatal("the hub does not hear any more")
			}
		})
	})
}

// tell brings the hub a message on one of the subjects that it listens to.
func tell(n *fakeNet, h *Hub, what, number, header, data string) {
	publisher := natswire.PublisherName(h.outbox.publisher)
	subject := map[string]string{
		"sync": subjectSync, "ask": ownPrefix + "ask." + publisher, "beat": subjectBeat, "offer": offerPrefix + "v", "kept": askPrefix + "v.x",
		"news": leafPrefix + "news.studio", "a.b": "a.b", "v.x": "v.x",
	}[what]
	m := natswire.Inbound{Subject: subject, Data: []byte(data), Reply: "_INBOX.ABCDEFGHIJ.x.1"}
	m.Number, _ = natswire.ParseNumber(number)
	if name, value, ok := strings.Cut(header, ": "); ok {
		m.Header = map[string][]string{name: {value}}
	}
	type hit struct {
		w     *fakeWire
		route any
		on    string
	}
	var hits []hit
	n.mu.Lock()
	for _, w := range n.wires {
		for s := range w.subs {
			own := strings.HasPrefix(s.subject, h.inboxes()) && what == "inbox"
			again := strings.HasPrefix(s.subject, ownPrefix+"again.") && what == "again"
			if s.subject == subject || own || again {
				hits = append(hits, hit{w, s.route, s.subject})
			}
		}
	}
	n.mu.Unlock()
	for _, to := range hits {
		m.Route = to.route
		if m.Subject = to.on; what == "inbox" {
			m.Subject = strings.TrimSuffix(to.on, "*") + "1"
		}
		to.w.receiver.Receive([]natswire.Inbound{m})
	}
}
