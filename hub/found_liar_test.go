//go:build !js

// Leaves run natively only.

package hub_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// A trap is a server that lets everybody in, keeps what it is shown, and counts who comes.
func startTrap(t *testing.T, bridge *server.Server) (*nosy, string) {
	spy := &nosy{}
	configure := func(o *server.Options) {
		withWebSocket(o)
		o.CustomClientAuthentication, o.AlwaysEnableNonce = spy, true
	}
	if bridge == nil {
		return spy, webSocketURL(t, startServer(t, configure))
	}
	return spy, webSocketURL(t, startLeaf(t, bridge, 0, configure))
}

// manifestFor is what a liar says.
func manifestFor(url string, change func(map[string]any)) []byte {
	m := map[string]any{
		"version": "1", "wssUrl": url, "isLeader": true, "fallbackServers": []string{"nats://backbone"}, "bridgeState": "connected",
		"expiresAt": time.Now().Add(time.Hour).UTC().Format(time.RFC3339), "discoveryNamespace": "studio", "nodeId": "liar", "tickets": true,
	}
	if change != nil {
		change(m)
	}
	text, _ := json.Marshal(m)
	return text
}

// answering answers every question of the account with what say makes of it.
func answering(t *testing.T, url, subject string, say func(*nats.Msg) *nats.Msg) (asked *atomic.Int64) {
	t.Helper()
	nc, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	asked = new(atomic.Int64)
	if _, err := nc.Subscribe(subject, func(m *nats.Msg) {
		asked.Add(1)
		if out := say(m); out != nil && m.Reply != "" {
			out.Subject = m.Reply
			nc.PublishMsg(out)
		}
	}); err != nil || nc.Flush() != nil {
		t.Fatal(err)
	}
	return asked
}

func saying(data []byte) *nats.Msg {
	m := nats.NewMsg("")
	m.Data = data
	m.Header["Kleaf-At"] = []string{time.Now().UTC().Format(time.RFC3339)}
	return m
}

// With the namespace's key nobody who answers in the account draws a hub anywhere: not without a signature, nor with one of another
// namespace, nor with an answer that a leaf has given to somebody else.
func TestLiarsInTheAccountDrawNobody(t *testing.T) {
	overheard := func(namespace string) func(*testing.T, *server.Server, string) func(*nats.Msg) *nats.Msg {
		return func(t *testing.T, backbone *server.Server, trap string) func(*nats.Msg) *nats.Msg {
			// The leaf is real, and somebody has kept what it answered. Its address is another's now.
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.DiscoveryNamespace = namespace })
			nc, err := nats.Connect(backbone.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			var kept *nats.Msg
			waitFor(t, "an answer", func() bool {
				kept, err = ask(t, nc, "_KH.leaf.find."+namespace+".any", `{"nonce":"0123456789abcdefghijkl"}`)
				return err == nil
			})
			l.Stop(context.Background())
			if len(kept.Header["Kleaf-Signature"]) != 1 {
				t.Fatalf("the leaf has not signed: %+v", kept)
			}
			return func(*nats.Msg) *nats.Msg {
				out := saying(kept.Data)
				out.Header["Kleaf-At"], out.Header["Kleaf-Signature"] = kept.Header["Kleaf-At"], kept.Header["Kleaf-Signature"]
				return out
			}
		}
	}
	for name, c := range map[string]struct {
		say  func(*testing.T, *server.Server, string) func(*nats.Msg) *nats.Msg
		want string
	}{
		"unsigned": {func(_ *testing.T, _ *server.Server, trap string) func(*nats.Msg) *nats.Msg {
			return func(*nats.Msg) *nats.Msg { return saying(manifestFor(trap, nil)) }
		}, "not signed, and discovery.namespaceKey wants that"},
		"signed with nonsense": {func(_ *testing.T, _ *server.Server, trap string) func(*nats.Msg) *nats.Msg {
			return func(*nats.Msg) *nats.Msg {
				m := saying(manifestFor(trap, nil))
				m.Header["Kleaf-Signature"] = []string{strings.Repeat("A", 103)}
				return m
			}
		}, "not signed by the key"},
		"replayed":             {overheard("studio"), "not signed by the key"},
		"of another namespace": {overheard("stage"), "not signed by the key"},
		"without a time": {func(_ *testing.T, _ *server.Server, trap string) func(*nats.Msg) *nats.Msg {
			return func(*nats.Msg) *nats.Msg { return &nats.Msg{Data: manifestFor(trap, nil)} }
		}, "no time"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backbone := startServer(t, withLeaves)
			spy, trap := startTrap(t, backbone)
			asked := answering(t, backbone.ClientURL(), "_KH.leaf.find.>", c.say(t, backbone, trap))
			h := asking(t, backbone.ClientURL(), nil)
			waitFor(t, "the reason", func() bool { return strings.Contains(h.DiscoveryStatus().Detail, c.want) })
			if d := h.DiscoveryStatus(); d.State != hub.DiscoveryNoLeader {
				t.Errorf("%+v", d)
			}
			// A real leaf is found beside the liar.
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
			awaitLeaf(t, h, l)
			if shown, came := spy.last(); came {
				t.Errorf("the hub came to the trap and showed %q", shown)
			}
			if asked.Load() == 0 {
				t.Error("the liar was not asked")
			}
		})
	}
}

// Without the key a leaf is believed as far as the account is: it is moved to, and shown nothing, whatever is configured.
func TestBelievedLeafIsShownNothing(t *testing.T) {
	for name, change := range map[string]func(*hub.Config){
		"same": func(c *hub.Config) { c.Discovery.Credentials = hub.CredentialsSame },
		"own":  func(c *hub.Config) { c.Discovery.Auth = hub.Auth{Token: "for-leaves"} },
		"none": func(*hub.Config) {},
	} {
		t.Run(name, func(t *testing.T) {
			const secret = "a-token-of-the-backbone"
			backbone := startServer(t, func(o *server.Options) { withLeaves(o); o.Authorization = secret })
			spy, trap := startTrap(t, nil)
			answering(t, strings.Replace(backbone.ClientURL(), "nats://", "nats://"+secret+"@", 1), "_KH.leaf.find.>",
				func(*nats.Msg) *nats.Msg {
					return saying(manifestFor(trap, func(m map[string]any) { m["tickets"] = false }))
				})
			asking(t, backbone.ClientURL(), func(c *hub.Config) {
				c.Auth.Token, c.Discovery.NamespaceKey = secret, ""
				change(c)
			})
			waitFor(t, "the hub at the trap", func() bool { _, came := spy.last(); return came })
			if shown, _ := spy.last(); shown != "" {
				t.Errorf("it was shown %q", shown)
			}
		})
	}
}

// With the key, credentials that are for leaves are for those that have it.
func TestProvenLeafIsShownItsOwn(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.Access.Token = "for-leaves" })
	h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.Auth = hub.Auth{Token: "for-leaves"} })
	awaitLeaf(t, h, l)
}

// Answers that no leaf of the namespace would give do not count, key or not.
func TestAnswersThatCannotBeAreRefused(t *testing.T) {
	for want, change := range map[string]func(map[string]any){
		"expired at":                     func(m map[string]any) { m["expiresAt"] = "2020-01-02T15:04:05.000Z" },
		`discoveryNamespace = \"stage\"`: func(m map[string]any) { m["discoveryNamespace"] = "stage" },
		"want a leaf at a private":       func(m map[string]any) { m["wssUrl"] = "wss://evil.example.com" },
		"version = ":                     func(m map[string]any) { m["version"] = "7" },
		"publicAddresses: want an array": func(m map[string]any) { m["publicAddresses"] = 7 },
	} {
		t.Run(want, func(t *testing.T) {
			backbone := startServer(t, nil)
			spy, trap := startTrap(t, nil)
			answering(t, backbone.ClientURL(), "_KH.leaf.find.>", func(*nats.Msg) *nats.Msg { return saying(manifestFor(trap, change)) })
			h := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.NamespaceKey = "" })
			waitFor(t, "the reason", func() bool {
				return strings.Contains(strings.ReplaceAll(h.DiscoveryStatus().Detail, `"`, `\"`), want)
			})
			if _, came := spy.last(); came {
				t.Error("the hub went there")
			}
		})
	}
}

// Who is on the LAN, and so on an open leaf, can neither hear the questions nor answer them, nor tell news.
func TestGuestsOfALeafDoNotSpeakForIt(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), nil)
	var mu sync.Mutex
	var refused []string
	guest, err := nats.Connect(l.Status().ClientURL, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		mu.Lock()
		defer mu.Unlock()
		refused = append(refused, err.Error())
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer guest.Close()
	var heard atomic.Int64
	for _, subject := range []string{"_KH.leaf.find.>", "_KH.leaf.find.studio.any", "_KH.leaf.names", "_KH.leaf.ticket.studio.*", ">", "_KH.>", "_KH.leaf.*.studio.any"} {
		if _, err := guest.Subscribe(subject, func(m *nats.Msg) {
			if strings.HasPrefix(m.Subject, "_KH.leaf.find") {
				heard.Add(1)
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	if err := guest.Publish("_KH.leaf.news.studio", []byte("{}")); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{"_KH.leaf.find.>", "_KH.leaf.find.studio.any", "_KH.leaf.names", "_KH.leaf.ticket.studio.*", "_KH.leaf.news.studio"} {
		waitFor(t, subject+" to be refused", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return strings.Contains(strings.Join(refused, "\n"), `"`+subject+`"`)
		})
	}
	awaitLeaf(t, asking(t, backbone.ClientURL(), nil), l)
	if n := heard.Load(); n > 0 {
		t.Errorf("a guest heard %d questions", n)
	}
}

// Who answers in the leaf's stead when a hub asks for a ticket, and before it, gets nothing, and keeps no hub from the leaf.
func TestLiarsAboutTicketsGetNothing(t *testing.T) {
	for name, answer := range map[string]func(trap, key string) *nats.Msg{
		"unsigned": func(trap, key string) *nats.Msg { return saying(fmt.Appendf(nil, `{"wssUrl":%q,"key":%q}`, trap, key)) },
		"refusing": func(trap, _ string) *nats.Msg {
			return saying(fmt.Appendf(nil, `{"wssUrl":%q,"error":"go away"}`, trap))
		},
		"signed with nonsense": func(trap, key string) *nats.Msg {
			m := saying(fmt.Appendf(nil, `{"wssUrl":%q,"key":%q}`, trap, key))
			m.Header["Kleaf-Signature"] = []string{strings.Repeat("A", 103)}
			return m
		},
	} {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, withLeaves)
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(conf *leaf.Config) { conf.Access.Tickets, conf.NodeID = true, "node" })
			spy, trap := startTrap(t, nil)
			asked := answering(t, backbone.ClientURL(), "_KH.leaf.ticket.>", func(m *nats.Msg) *nats.Msg {
				var q struct{ Key string }
				json.Unmarshal(m.Data, &q)
				return answer(trap, q.Key)
			})
			h := asking(t, backbone.ClientURL(), func(conf *hub.Config) { conf.Discovery.CacheTTL = 20 * time.Millisecond })
			made := moves(h)
			awaitLeaf(t, h, l)
			if asked.Load() == 0 {
				t.Error("the liar was not asked")
			}
			if shown, came := spy.last(); came {
				t.Errorf("the hub came to the trap and showed %q", shown)
			}
			for len(made) > 0 {
				if m := <-made; strings.Contains(m.To, trap) {
					t.Errorf("the hub moved to the trap: %+v", m)
				}
			}
		})
	}
}

// When the liar is alone, as the leaf does not give the ticket, the hub stays where it is and says why.
func TestLiarAboutTicketsAloneMovesNobody(t *testing.T) {
	backbone := startServer(t, withLeaves)
	spy, trap := startTrap(t, backbone)
	liar := serveManifest(t)
	liar.say(manifestFor(trap, func(m map[string]any) { m["nodeId"] = "node" }))
	asked := answering(t, backbone.ClientURL(), "_KH.leaf.ticket.>", func(m *nats.Msg) *nats.Msg {
		return saying(fmt.Appendf(nil, `{"wssUrl":%q,"error":"go away"}`, trap))
	})
	h := openHub(t, hub.Config{
		Servers:   []string{backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: liar.URL, CacheTTL: 20 * time.Millisecond},
	})
	waitFor(t, "the reason", func() bool { return strings.Contains(h.DiscoveryStatus().Detail, "the leaf refuses it") })
	if s := h.Status(); s.Via != "configured" || s.Server != backbone.ClientURL() {
		t.Errorf("the hub is on %s (%s)", s.Server, s.Via)
	}
	if shown, _ := spy.last(); shown != "" {
		t.Errorf("the trap was shown %q", shown)
	}
	if asked.Load() == 0 {
		t.Error("the liar was not asked")
	}
}

// A manifest server that names a trap with the node of a real leaf gets no login: the ticket is good at the leaf's URL.
func TestManifestCannotTakeATicketElsewhere(t *testing.T) {
	backbone := startServer(t, withLeaves)
	startRealLeaf(t, bridgeTo(t, backbone, nil), func(conf *leaf.Config) { conf.Access.Tickets, conf.NodeID = true, "node" })
	spy, trap := startTrap(t, backbone)
	liar := serveManifest(t)
	liar.say(manifestFor(trap, func(m map[string]any) { m["nodeId"] = "node" }))
	h := openHub(t, hub.Config{
		Servers:   []string{backbone.ClientURL()},
		Discovery: hub.Discovery{Enabled: true, ManifestURL: liar.URL, CacheTTL: 20 * time.Millisecond},
	})
	waitFor(t, "the reason", func() bool { return strings.Contains(h.DiscoveryStatus().Detail, "that is another server") })
	if shown, _ := spy.last(); shown != "" {
		t.Errorf("the trap was shown %q", shown)
	}
	// And one that has nothing to do with the backbone does not get one at all.
	liar.say(manifestFor(trap, func(m map[string]any) { m["nodeId"] = "nobody" }))
	waitFor(t, "the reason", func() bool {
		return strings.Contains(h.DiscoveryStatus().Detail, "has not shown that it belongs to these servers")
	})
}

// Floods of questions and of news cost a leaf and hubs a bounded amount, and move nobody.
func TestFloodsAreBounded(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(c *leaf.Config) { c.Access.Tickets = true })
	hubs := make([]*hub.Hub, 4)
	for i := range hubs {
		hubs[i] = asking(t, backbone.ClientURL(), nil)
		awaitLeaf(t, hubs[i], l)
	}
	stranger := asking(t, backbone.ClientURL(), func(c *hub.Config) { c.Discovery.Namespace, c.Discovery.NamespaceKey = "nowhere", "" })
	questions := answering(t, backbone.ClientURL(), "_KH.leaf.find.nowhere.any", func(*nats.Msg) *nats.Msg { return nil })
	nc, err := nats.Connect(backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	var answers atomic.Int64
	if _, err := nc.Subscribe("_INBOX.ABCDEFGHIJ.x.*", func(*nats.Msg) { answers.Add(1) }); err != nil {
		t.Fatal(err)
	}
	var moved atomic.Int64
	for _, h := range append(hubs, stranger) {
		h.OnMove(func(m hub.Move) {
			if m.Reason != "connect" {
				moved.Add(1)
			}
		})
	}
	moved.Store(0)
	waitFor(t, "the moves before to be told", func() bool { return stranger.DiscoveryStatus().State == hub.DiscoveryNoLeader })
	before, began := moved.Load(), time.Now()
	const rate, lasts = 10_000, 3 * time.Second
	sent := 0
	for time.Since(began) < lasts {
		for range rate / 100 {
			sent++
			nc.PublishRequest("_KH.leaf.find.studio.any", fmt.Sprintf("_INBOX.ABCDEFGHIJ.x.%d", sent), []byte(`{"nonce":"0123456789abcdefghijkl"}`))
			nc.PublishRequest("_KH.leaf.ticket.studio."+l.Status().NodeID, fmt.Sprintf("_INBOX.ABCDEFGHIJ.x.%d", sent), []byte(`{"nonce":"0123456789abcdefghijkl","key":"x"}`))
			nc.Publish("_KH.leaf.news.studio", []byte(`{"event":"here"}`))
			nc.Publish("_KH.leaf.news.nowhere", []byte(`{"event":"here"}`))
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began).Seconds()
	time.Sleep(200 * time.Millisecond)
	if n := answers.Load(); float64(n) > 1000+500*(took+1) {
		t.Errorf("%d answers to %d questions in %.1f s: want at most 500 a second after 1,000", n, sent, took)
	}
	// 50 ms, and twice as long each time: about log2(took/50 ms), and those of its own.
	if n := questions.Load(); n > 20 {
		t.Errorf("a hub asked %d times because of %d news", n, sent)
	}
	if n := moved.Load() - before; n > 0 {
		t.Errorf("%d moves", n)
	}
	for i, h := range hubs {
		if h.Status().Via != "leaf" {
			t.Errorf("hub %d is on %s", i, h.Status().Server)
		}
	}
	t.Logf("%d questions in %.1f s: %d answers; %d questions of a hub to as many news", sent, took, answers.Load(), questions.Load())
	// After that a hub is answered again.
	awaitLeaf(t, asking(t, backbone.ClientURL(), nil), l)
}

// say serves text as a manifest.
func (m *manifestServer) say(text []byte) {
	m.answer.Store(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Write(text)
	}))
}
