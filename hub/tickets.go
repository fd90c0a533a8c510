package hub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A leaf that gives tickets lets a hub in that has shown it, over a session of the backbone's, the public half of a key that
// the hub has just made. So nothing that is good elsewhere is shown to the leaf, and nothing that others could use goes
// over the session. The leaf's answer names where the ticket is good; the hub shows the key nowhere else. A server that passes
// off itself as the leaf so has to be at the leaf's URL.

// A leafRecords has what leaves said of themselves that discovery found, by URL.
type leafRecords struct {
	mu    sync.Mutex
	byURL map[string]leafRecord
	hub   *Hub
}

type leafRecord struct {
	leafInfo
	session bool // it was found through the session
}

const maxLeafRecords = 4 * maxAnswers

func (b *leafRecords) add(url string, says leafInfo, session bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.byURL == nil || len(b.byURL) >= maxLeafRecords {
		b.byURL = map[string]leafRecord{}
	}
	url = transport.Redact(url)
	if known := b.byURL[url]; !session && known.session && known.node == says.node {
		return // that is said where it can be believed
	}
	b.byURL[url] = leafRecord{says, session}
}

// addManifest is add for a manifest that was fetched from a URL.
func (b *leafRecords) addManifest(url string, body []byte) {
	if says, err := readLeafInfo(body); err == nil {
		b.add(url, says, false)
	}
}

func (b *leafRecords) lookup(server string) leafRecord {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.byURL[server]
}

// credentials is what a leaf is shown that discovery found; ask is for what the configured servers are shown.
func (b *leafRecords) credentials(ctx context.Context, server string, d *Discovery, ask func() (Auth, error)) (Auth, error) {
	one := b.lookup(server)
	ticket := d.Credentials == CredentialsNone || d.Credentials == CredentialsTicket
	switch {
	case ticket && one.tickets:
		return b.hub.askTicket(ctx, server, one)
	case d.Credentials == CredentialsTicket:
		return Auth{}, fmt.Errorf("the leaf gives no tickets (kinopio-hub leaf … --tickets), and discovery.credentials is %q", d.Credentials)
	case d.Credentials == CredentialsNone, one.session && d.NamespaceKey == "":
		// A leaf that anybody in the account could be is shown nothing.
		return Auth{}, nil
	case d.Credentials == CredentialsOwn:
		return d.Auth, nil
	}
	return ask()
}

var errTicket = errors.New("no ticket for the leaf")

// askTicket asks the leaf at server for a ticket, over the current link, and returns the key that it is for.
func (h *Hub) askTicket(ctx context.Context, server string, leaf leafRecord) (Auth, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	if err := h.admitKey(ctx, server, leaf, publicName(ed25519.NewKeyFromSeed(seed))); err != nil {
		return Auth{}, fmt.Errorf("%w: %w", errTicket, err)
	}
	return Auth{NkeySeed: seedText(seed)}, nil
}

// admitKey has the leaf admit a public key, once. Whoever the account lets may answer, too: of several answers one
// that is right counts.
func (h *Hub) admitKey(ctx context.Context, server string, leaf leafRecord, public string) error {
	subject, nonce := leafPrefix+"ticket."+subjectToken(leaf.namespace)+"."+subjectToken(leaf.node), newNonce()
	var w plainjson.Writer
	out := OutMsg{Subject: subject, answer: true, Data: []byte(w.Text("nonce", nonce).Text("key", public).String())}
	answers, ended := make(chan *Message, maxAnswers), make(chan error, 1)
	cancel := h.requestMany(ctx, out, h.cfg.Discovery.SwitchTimeout, maxAnswers, func(m *Message) {
		answers <- &Message{Header: m.Header, Data: append([]byte(nil), m.Data...)} // it has room for all
	}, func(err error) { ended <- err })
	defer cancel()
	var wrong error // the first answer's
	var enough <-chan time.Time
	check := func(m *Message) (ok bool) {
		err := h.checkTicket(m, server, nonce, public)
		if err != nil && wrong == nil {
			wrong, enough = err, time.After(answerWindow)
		}
		return err == nil
	}
	for {
		select {
		case m := <-answers:
			if check(m) {
				return nil
			}
		case <-enough:
			return wrong
		case err := <-ended:
			for len(answers) > 0 {
				if check(<-answers) {
					return nil
				}
			}
			switch {
			case wrong != nil:
				return wrong
			case err == nil || errors.Is(err, ErrNoResponders):
				return fmt.Errorf("nobody answers at %s: the leaf has not shown that it belongs to these servers", subject)
			}
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// checkTicket says what is wrong with an answer.
func (h *Hub) checkTicket(m *Message, server, nonce, public string) error {
	key, _ := parseNamespaceKey(h.cfg.Discovery.NamespaceKey) // it was checked
	if _, err := verify(key, ticketLabel, nonce, m.Header, m.Data); err != nil {
		return err
	}
	r, err := plainjson.Read(m.Data)
	if err != nil {
		return err
	}
	at, why, forKey := r.Text("wssUrl"), r.Text("error"), r.Text("key")
	if at, err = canonicalURL(at); err != nil {
		return fmt.Errorf("wssUrl: %w", err)
	}
	switch at = transport.Redact(at); {
	case why != "":
		return fmt.Errorf("the leaf refuses it: %.200q", why)
	case at != server:
		return fmt.Errorf("it would be good at %s, not at %s: that is another server", at, server)
	case forKey != public:
		return errors.New("it is for another key")
	}
	return nil
}

// seedText is the text of a user nkey's seed, as [userKey] reads it.
func seedText(seed []byte) string {
	raw := append([]byte{nkeySeed | nkeyUser>>5, nkeyUser & 31 << 3}, seed...)
	return nkeyText.EncodeToString(binary.LittleEndian.AppendUint16(raw, crc16(raw)))
}
