package leaf

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A herald tells hubs of the account, over the bridge and at the leaf itself, where the leaf is. It is a client of the
// leaf's own server. Only while the leaf leads its namespace it answers:
//
//	_KH.leaf.find.<namespace>.at.<place>  every leaf behind this public address: a hub's own
//	_KH.leaf.find.<namespace>.any         one leaf of each of askGroups queue groups, however many there are
//	_KH.leaf.names                        the same, of all namespaces: the namespace
//	_KH.leaf.ticket.<namespace>.<node>    this leaf: a hub's key may log in once, see ticketBook
//
// and it tells of changes on _KH.leaf.news.<namespace>. What it answers is the manifest, signed if there is a namespace
// secret, in headers: see signer.
type herald struct {
	leaf   *Leaf
	nc     *nats.Conn
	signer *signer // nil: answers are not signed.
	bucket bucket

	mu    sync.Mutex
	subs  map[string]*nats.Subscription // By subject and queue group.
	told  string                        // What the last news were about; "": that the leaf is gone, or nothing.
	ended bool
}

// askGroups bounds how many leaves answer a question that is for any.
const askGroups = 8

const (
	reserved = "_KH.leaf."
	// The server queues for a herald what comes faster than it answers; the rest is not answered.
	heraldPending = 1024
	heraldBytes   = 1 << 20
	// answerRate and answerBurst bound the answers of a leaf, in answers a second.
	answerRate, answerBurst = 500, 1000
	mostAsked               = 1 << 10 // Bytes of a question.
)

// startHerald connects a herald to srv, which runs with set.
func (l *Leaf) startHerald(set *settings, srv *natsServer) (*herald, error) {
	h := &herald{leaf: l, subs: map[string]*nats.Subscription{}, signer: set.signer,
		bucket: bucket{rate: answerRate, burst: answerBurst}}
	options := []nats.Option{nats.InProcessServer(srv), nats.Name("kinopio-leaf herald"), nats.NoReconnect(), nats.Timeout(readyTimeout),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { // Anybody who asks too much can cause it.
			set.Logger.Debug("asked over the bridge", "error", err)
		})}
	options = append(options, set.access.own.options()...)
	var err error
	if h.nc, err = nats.Connect("", options...); err != nil {
		return nil, fmt.Errorf("connect the leaf to its own server: %w", err)
	}
	return h, nil
}

// look answers, or does not any more, as the leaf leads or not, and tells if something has changed.
func (h *herald) look() {
	if h == nil {
		return
	}
	set, m := h.leaf.settings(), h.leaf.Manifest()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	if m == nil || !m.IsLeader {
		h.leave(set)
		return
	}
	want := map[string]func(*nats.Msg){}
	namespace := word(set.DiscoveryNamespace)
	group := fmt.Sprintf(" leaf%d", groupOf(set.NodeID))
	for _, place := range placesOf(m.PublicAddresses) {
		want[reserved+"find."+namespace+".at."+place] = h.find
	}
	want[reserved+"find."+namespace+".any"+group] = h.find
	want[reserved+"names"+fmt.Sprintf(" leaf%d", groupOf(set.DiscoveryNamespace))] = h.name
	if set.access.tickets != nil {
		want[reserved+"ticket."+namespace+"."+word(set.NodeID)] = h.ticket
	}
	for key, sub := range h.subs {
		if want[key] == nil {
			_ = sub.Unsubscribe() // Fails when the connection has ended, and everything with it.
			delete(h.subs, key)
		}
	}
	for key, fn := range want {
		if h.subs[key] != nil {
			continue
		}
		subject, queue, _ := strings.Cut(key, " ")
		sub, err := h.nc.QueueSubscribe(subject, queue, fn)
		if err == nil {
			err = sub.SetPendingLimits(heraldPending, heraldBytes)
		}
		if err != nil {
			set.Logger.Debug("cannot be asked over the bridge", "subject", subject, "error", err)
			return
		}
		h.subs[key] = sub
	}
	about := fmt.Sprint(m.NodeID, m.LeaderEpoch, m.WSSURL, m.BridgeState, m.PublicAddresses, m.Tickets, m.WebTransport, h.leaf.cert.shown().Fingerprint)
	if about != h.told {
		h.told = about
		h.news(set, "here", m)
	}
}

// leave stops answering, and says so. h.mu is held.
func (h *herald) leave(set *settings) {
	for key, sub := range h.subs {
		_ = sub.Unsubscribe()
		delete(h.subs, key)
	}
	if h.told != "" {
		h.told = ""
		h.news(set, "gone", &Manifest{NodeID: set.NodeID})
	}
}

// gone ends the herald: it tells that the leaf goes, and disconnects.
func (h *herald) gone() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return
	}
	h.ended = true
	h.leave(h.leaf.settings())
	_ = h.nc.FlushTimeout(heraldFlush) // The server may be down already: then nobody can hear it.
	h.nc.Close()
}

const heraldFlush = 100 * time.Millisecond

// alive says that the herald is one of the server's clients.
func (h *herald) alive() bool { return h != nil && h.nc.IsConnected() }

// news tells hubs that there is something to ask for. They believe nothing of it.
func (h *herald) news(set *settings, event string, m *Manifest) {
	data, err := json.Marshal(struct {
		Event           string   `json:"event"` // here or gone
		NodeID          string   `json:"nodeId"`
		LeaderEpoch     int64    `json:"leaderEpoch"`
		PublicAddresses []string `json:"publicAddresses,omitempty"`
	}{event, m.NodeID, m.LeaderEpoch, m.PublicAddresses})
	if err == nil {
		err = h.nc.Publish(reserved+"news."+word(set.DiscoveryNamespace), data)
	}
	if err != nil {
		set.Logger.Debug("news are not told", "event", event, "error", err)
	}
}

// find answers who asks where the leaf is.
func (h *herald) find(m *nats.Msg) {
	var asked struct{ Nonce string }
	if !h.takes(m, &asked) || !isNonce(asked.Nonce) {
		return
	}
	manifest := h.leaf.Manifest()
	if manifest == nil || !manifest.IsLeader {
		return
	}
	h.answer(m, answerLabel, asked.Nonce, manifest)
}

// name answers who asks which namespaces there are.
func (h *herald) name(m *nats.Msg) {
	if h.takes(m, nil) {
		h.answer(m, answerLabel, "", struct {
			DiscoveryNamespace string `json:"discoveryNamespace"`
		}{h.leaf.settings().DiscoveryNamespace})
	}
}

// takes reads a question; false: it is none, there were too many, or its answer is not for a hub.
func (h *herald) takes(m *nats.Msg, into any) bool {
	if len(m.Data) > mostAsked || !isInbox(m.Reply) || !h.bucket.take(time.Now()) {
		return false
	}
	return into == nil || json.Unmarshal(m.Data, into) == nil
}

func (h *herald) answer(m *nats.Msg, label, nonce string, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		h.leaf.settings().Logger.Debug("no answer", "error", err)
		return
	}
	out := nats.NewMsg(m.Reply)
	out.Data = data
	at := time.Now().UTC().Format(timeFormat)
	out.Header[headerAt] = []string{at}
	if h.signer != nil && nonce != "" {
		out.Header[headerSignature] = []string{h.signer.sign(label, nonce, at, data)}
	}
	_ = h.nc.PublishMsg(out) // A connection that has ended is the server's, which is mended.
}

// isInbox says that a subject is where a hub waits for answers. A leaf publishes on no other one for
// those who ask it: it has more rights than they may have.
func isInbox(reply string) bool {
	parts := strings.Split(reply, ".")
	if len(parts) < 4 || strings.HasPrefix(reply, "$") || strings.HasPrefix(reply, "_KH.") {
		return false
	}
	id := parts[len(parts)-3]
	return len(id) == 10 && !strings.ContainsFunc(id, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= '2' && r <= '7') })
}

// isNonce: what hubs send are 22 characters of base64.
func isNonce(s string) bool {
	return len(s) >= 16 && len(s) <= 64 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_')
	})
}

// word is a name as one part of a subject.
func word(name string) string {
	var b strings.Builder
	for _, c := range []byte(name) {
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "=%02x", c)
		}
	}
	return b.String()
}

// groupOf spreads names evenly.
func groupOf(name string) int {
	sum := uint32(2166136261) // FNV-1a.
	for _, c := range []byte(name) {
		sum = (sum ^ uint32(c)) * 16777619
	}
	return int((sum>>16 ^ sum) % askGroups)
}

// A bucket bounds how often something is done.
type bucket struct {
	rate, burst float64
	mu          sync.Mutex
	has         float64
	at          time.Time
}

func (b *bucket) take(now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() {
		b.has = b.burst
	} else {
		b.has = min(b.burst, b.has+b.rate*now.Sub(b.at).Seconds())
	}
	b.at = now
	if b.has < 1 {
		return false
	}
	b.has--
	return true
}

// placesOf are public addresses as parts of subjects, each once.
func placesOf(addresses []string) (places []string) {
	for _, a := range addresses {
		if p := placeOf(a); p != "" && !slices.Contains(places, p) {
			places = append(places, p)
		}
	}
	return places
}
