//go:build !js

// Leaves run natively only.

package hub_test

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// A credential is one way to log in to a backbone: how it wants hubs and bridges to, and how they do.
type credential struct {
	configure func(*server.Options)
	hub       hub.Auth
	secret    string // what must not be shown to a leaf
	bridge    func(*leaf.Config, string)
}

func everyCredential(t *testing.T) map[string]credential {
	user, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := user.PublicKey()
	seed, _ := user.Seed()
	asBridge := func(c *leaf.Config, at string) {
		u, _ := url.Parse(at)
		u.User = url.UserPassword("bridge", "p")
		c.BackboneServers = []string{u.String()}
	}
	bridgeUser := &server.User{Username: "bridge", Password: "p"}
	op, _ := nkeys.CreateOperator()
	opKey, _ := op.PublicKey()
	acc, _ := nkeys.CreateAccount()
	accKey, _ := acc.PublicKey()
	ac := jwt.NewAccountClaims(accKey)
	accountJWT, err := ac.Encode(op)
	if err != nil {
		t.Fatal(err)
	}
	uc := jwt.NewUserClaims(public)
	userJWT, err := uc.Encode(acc)
	if err != nil {
		t.Fatal(err)
	}
	creds, err := jwt.FormatUserConfig(userJWT, seed)
	if err != nil {
		t.Fatal(err)
	}
	file := t.TempDir() + "/user.creds"
	writeSecret(t, file, string(creds))
	return map[string]credential{
		"password": {func(o *server.Options) {
			o.Users = []*server.User{bridgeUser, {Username: "ada", Password: "her-password"}}
		}, hub.Auth{User: "ada", Password: "her-password"}, "her-password", asBridge},
		"nkey": {func(o *server.Options) {
			o.Users, o.Nkeys = []*server.User{bridgeUser}, []*server.NkeyUser{{Nkey: public}}
		}, hub.Auth{NkeySeed: string(seed)}, public, asBridge},
		"operator": {func(o *server.Options) {
			resolver := &server.MemAccResolver{}
			if err := resolver.Store(accKey, accountJWT); err != nil {
				t.Fatal(err)
			}
			o.TrustedKeys, o.AccountResolver = []string{opKey}, resolver
		}, hub.Auth{Creds: string(creds)}, userJWT, func(c *leaf.Config, at string) {
			c.BackboneServers, c.Backbone.CredentialsFile = []string{at}, file
		}},
	}
}

// A leaf that is closed to the LAN lets hubs of its account in, whatever they show the backbone, and sees nothing of that.
func TestTicketsLetHubsIntoAClosedLeaf(t *testing.T) {
	for name, c := range everyCredential(t) {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, func(o *server.Options) { withLeaves(o); c.configure(o) })
			l := startRealLeaf(t, "", func(conf *leaf.Config) {
				conf.Access.Tickets = true
				c.bridge(conf, bridgeTo(t, backbone, nil))
			})
			if s := l.Status(); s.Access.Mode != "tickets" || s.Access.OpenToLAN || !s.Manifest.Tickets {
				t.Errorf("the leaf says %+v", s.Access)
			}
			for _, url := range []string{l.Status().ClientURL, l.Status().WSSURL} {
				if nc, err := nats.Connect(url); err == nil {
					t.Error("a stranger got in at " + url)
					nc.Close()
				}
			}
			h := asking(t, backbone.ClientURL(), func(conf *hub.Config) { conf.Auth = c.hub })
			other := asking(t, backbone.ClientURL(), func(conf *hub.Config) { conf.Auth, conf.Discovery.Enabled = c.hub, false })
			awaitLeaf(t, h, l)
			got := make(chan any, 1000)
			if _, err := h.Scope("room").Variable("light").Sub(soon(t), func(m *hub.Message) {
				select {
				case got <- m.Value():
				default:
				}
			}); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "what is published at the backbone", func() bool { // Interest has to spread to there first.
				if err := other.Scope("room").Variable("light").Pub(soon(t), "on"); err != nil {
					t.Fatal(err)
				}
				return len(got) > 0
			})
			// Again, and again: each login has a ticket of its own.
			if err := h.Reconnect(soon(t)); err != nil {
				t.Fatal(err)
			}
			awaitLeaf(t, h, l)
		})
	}
}

// What a ticket gives is no way to what the servers keep for themselves, nor to speak for the leaf.
func TestTicketsGiveNoMoreThanTheyShould(t *testing.T) {
	for name, c := range map[string]struct {
		rights           *leaf.TicketRights
		may, mayNot      []string // to publish
		hears, hearsNone []string
	}{
		"by default": {nil, []string{"room.light", "_INBOX.x"}, []string{"$SYS.REQ.ACCOUNT.PING.CONNZ", "$JS.API.STREAM.LIST", "$KV.b.k", "_KH.leaf.news.studio"},
			[]string{"room.>", ">"}, []string{"$SYS.>", "_KH.leaf.find.>", "_KH.leaf.ticket.studio.x"}},
		"as told": {&leaf.TicketRights{Publish: leaf.SubjectRights{Allow: []string{"room.>", "_INBOX.>", "$JS.API.>"}, Deny: []string{"room.door"}}},
			[]string{"room.light", "$JS.API.INFO"}, []string{"room.door", "hall.light", "$SYS.X", "_KH.leaf.news.studio"}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			backbone := startServer(t, withLeaves)
			l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(conf *leaf.Config) {
				conf.Access.Tickets, conf.Access.TicketRights, conf.NodeID = true, c.rights, "node"
			})
			account, err := nats.Connect(backbone.ClientURL())
			if err != nil {
				t.Fatal(err)
			}
			defer account.Close()
			var mu sync.Mutex
			var broken []string
			nc := withTicket(t, account, l, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				mu.Lock()
				defer mu.Unlock()
				broken = append(broken, err.Error())
			}))
			refused := func(verb, subject string) bool {
				mu.Lock()
				defer mu.Unlock()
				return slices.ContainsFunc(broken, func(s string) bool { return strings.Contains(s, verb+` to "`+subject+`"`) })
			}
			for _, subject := range slices.Concat(c.may, c.mayNot) {
				if err := nc.Publish(subject, nil); err != nil {
					t.Fatal(err)
				}
			}
			for _, subject := range slices.Concat(c.hears, c.hearsNone) {
				if _, err := nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
					t.Fatal(err)
				}
			}
			for _, subject := range c.mayNot {
				waitFor(t, "publishing on "+subject+" to be refused", func() bool { return refused("Publish", subject) })
			}
			for _, subject := range c.hearsNone {
				waitFor(t, "subscribing to "+subject+" to be refused", func() bool { return refused("Subscription", subject) })
			}
			for _, subject := range c.may {
				if refused("Publish", subject) {
					t.Errorf("publishing on %s is refused", subject)
				}
			}
			for _, subject := range c.hears {
				if refused("Subscription", subject) {
					t.Errorf("subscribing to %s is refused", subject)
				}
			}
		})
	}
}

// withTicket is a plain client of the leaf with a ticket of its own.
func withTicket(t *testing.T, account *nats.Conn, l *leaf.Leaf, options ...nats.Option) *nats.Conn {
	t.Helper()
	key, public := ticketKey(t)
	if got := askForTicket(t, account, l, public); !strings.Contains(got, public) {
		t.Fatalf("no ticket: %s", got)
	}
	nc, err := nats.Connect(l.Status().ClientURL, append(options, nats.Nkey(public, key.Sign))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func ticketKey(t *testing.T) (nkeys.KeyPair, string) {
	key, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	public, _ := key.PublicKey()
	return key, public
}

// askForTicket asks as a hub does, and returns what was answered.
func askForTicket(t *testing.T, account *nats.Conn, l *leaf.Leaf, public string) string {
	t.Helper()
	m, err := ask(t, account, "_KH.leaf.ticket.studio."+l.Status().NodeID, `{"nonce":"0123456789abcdefghijkl","key":"`+public+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	return string(m.Data)
}

// ask asks with an inbox as hubs have them: nats.go's own would get no answer.
func ask(t *testing.T, account *nats.Conn, subject, text string) (*nats.Msg, error) {
	t.Helper()
	inbox := "_INBOX.ABCDEFGHIJ." + nkeysText(t) + ".1"
	sub, err := account.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	defer sub.Unsubscribe()
	if err := account.PublishRequest(subject, inbox, []byte(text)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), answerPatience)
	defer cancel()
	return sub.NextMsgWithContext(ctx)
}

// A ticket is good once, for a while, and for who has its key.
func TestTicketsAreForOneHubAndOnce(t *testing.T) {
	backbone := startServer(t, withLeaves)
	l := startRealLeaf(t, bridgeTo(t, backbone, nil), func(conf *leaf.Config) { conf.Access.Tickets, conf.NodeID = true, "node" })
	account, err := nats.Connect(backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer account.Close()
	login := func(public string, key nkeys.KeyPair) error {
		nc, err := nats.Connect(l.Status().ClientURL, nats.Nkey(public, key.Sign))
		if err == nil {
			nc.Close()
		}
		return err
	}
	key, public := ticketKey(t)
	if login(public, key) == nil {
		t.Error("a key without a ticket is let in")
	}
	if got := askForTicket(t, account, l, public); !strings.Contains(got, public) {
		t.Fatalf("no ticket: %s", got)
	}
	thief, _ := ticketKey(t)
	if login(public, thief) == nil {
		t.Error("who has seen a ticket is let in")
	}
	if err := login(public, key); err != nil {
		t.Errorf("the thief has used the ticket up: %v", err)
	}
	if login(public, key) == nil {
		t.Error("a ticket is good twice")
	}
	for _, bad := range []string{"", "x", "AB", strings.Replace(public, "U", "A", 1)} {
		if got := askForTicket(t, account, l, bad); !strings.Contains(got, "no public user key") {
			t.Errorf("key %q: %s", bad, got)
		}
	}
	// A ticket of one leaf is not another's.
	other := startRealLeaf(t, bridgeTo(t, backbone, nil), func(conf *leaf.Config) { conf.Access.Tickets, conf.NodeID = true, "other" })
	key, public = ticketKey(t)
	askForTicket(t, account, other, public)
	if login(public, key) == nil {
		t.Error("a ticket of another leaf is good")
	}
}
