package hub

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// A leaf that gives tickets lets a hub in that has shown it, over a session of the backbone's, the public half of a key that
// the hub has just made. So nothing that is good elsewhere is shown to the leaf, and nothing that others could use goes
// over the session. The leaf's answer names where the ticket is good; the hub shows the key nowhere else. A server that passes
// off itself as the leaf so has to be at the leaf's URL.

// A leafBook has what leaves said of themselves that discovery found, by URL.
type leafBook struct {
	mu   sync.Mutex
	said map[string]leafEntry
	hub  *Hub
}

type leafEntry struct {
	leafSays
	session bool // it was found through the session
}

const leavesKept = 4 * mostAnswers

func (b *leafBook) note(url string, says leafSays, session bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.said == nil || len(b.said) >= leavesKept {
		b.said = map[string]leafEntry{}
	}
	url = transport.Redact(url)
	if !session && b.said[url].session {
		return // that is said where it can be believed
	}
	b.said[url] = leafEntry{says, session}
}

// noteManifest is note for a manifest that was fetched from a URL.
func (b *leafBook) noteManifest(url string, body []byte) {
	if says, err := aboutLeaf(body); err == nil {
		b.note(url, says, false)
	}
}

func (b *leafBook) of(server string) leafEntry {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.said[server]
}

// show is what a leaf is shown that discovery found; ask is for what the configured servers are shown.
func (b *leafBook) show(ctx context.Context, server string, d *Discovery, ask func() (Auth, error)) (Auth, error) {
	one := b.of(server)
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
func (h *Hub) askTicket(ctx context.Context, server string, leaf leafEntry) (Auth, error) {
	seed := make([]byte, ed25519.SeedSize)
	rand.Read(seed)
	if err := h.admitKey(ctx, server, leaf, publicName(ed25519.NewKeyFromSeed(seed))); err != nil {
		return Auth{}, fmt.Errorf("%w: %w", errTicket, err)
	}
	return Auth{NkeySeed: seedText(seed)}, nil
}

// admitKey has the leaf admit a public key, once.
func (h *Hub) admitKey(ctx context.Context, server string, leaf leafEntry, public string) error {
	nonce := newNonce()
	m, err := h.askLeaf(ctx, leafPrefix+"ticket."+word(leaf.namespace)+"."+word(leaf.node), nonce, public)
	if err != nil {
		return err
	}
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

// askLeaf asks one leaf, and returns its answer.
func (h *Hub) askLeaf(ctx context.Context, subject, nonce, key string) (*Message, error) {
	var w plainjson.Writer
	out := OutMsg{Subject: subject, answer: true, Data: []byte(w.Text("nonce", nonce).Text("key", key).String())}
	came, failed := make(chan *Message, 1), make(chan error, 1)
	cancel := h.request(ctx, out, h.cfg.Discovery.SwitchTimeout, &request{done: func(m *Message, err error) {
		if err != nil {
			failed <- err
			return
		}
		came <- &Message{Header: m.Header, Data: append([]byte(nil), m.Data...)}
	}})
	defer cancel()
	select {
	case m := <-came:
		return m, nil
	case err := <-failed:
		if errors.Is(err, ErrNoResponders) {
			err = fmt.Errorf("nobody answers at %s: the leaf has not shown that it belongs to these servers", subject)
		}
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// seedText is the text of a user nkey's seed, as [userKey] reads it.
func seedText(seed []byte) string {
	raw := append([]byte{nkeySeed | nkeyUser>>5, nkeyUser & 31 << 3}, seed...)
	return nkeyText.EncodeToString(binary.LittleEndian.AppendUint16(raw, crc16(raw)))
}
