package hub

import (
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// headerID is the header that carries a message's number under MovesIDs:
// "<publisher>.<number>", where the publisher counts each subject from 1.
const headerID = "Kinopio-Id"

const (
	// idSize bounds what the header adds to a message, in bytes.
	idSize = len("NATS/1.0\r\n") + len(headerID) + len(": ") + 10 + 1 + 20 + len("\r\n\r\n")
	// idsKept bounds the counters that a hub, or a subscription, keeps.
	idsKept = 1 << 16
)

// numbers gives every message of a hub its number. The outbox's lock guards it.
type numbers struct {
	publisher string
	last      map[string]uint64 // by subject
}

// with returns m with a number. It is used up by sent.
func (n *numbers) with(m *OutMsg) *OutMsg {
	if n.last == nil || len(n.last) >= idsKept {
		// With a new name the counting may begin anew.
		n.publisher, n.last = rand.Text()[:10], map[string]uint64{}
	}
	header := make(Header, len(m.Header)+1)
	for name, values := range m.Header {
		header[name] = values
	}
	header[headerID] = []string{n.publisher + "." + strconv.FormatUint(n.last[m.Subject]+1, 10)}
	numbered := *m
	numbered.Header = header
	return &numbered
}

func (n *numbers) sent(m *OutMsg) { n.last[m.Subject]++ }

// takeID removes a message's number from its header.
func takeID(m *inbound) (id string) {
	values, ok := m.header[headerID]
	if !ok {
		return ""
	}
	delete(m.header, headerID)
	if len(m.header) == 0 {
		m.header = nil
	}
	return values[0]
}

// A reader follows the numbers of what one subscription receives.
type reader struct {
	mu   sync.Mutex
	last map[string]uint64 // by publisher and subject
}

// note adds to missing how many messages of the same publisher and subject should have come
// before this one since the last. The first one that is seen may have any number. It returns
// false for one that was seen already, or should have come before: after the loss of a link,
// another server may still have it.
func (r *reader) note(subject, id string, missing *atomic.Uint64) bool {
	dot := strings.LastIndexByte(id, '.')
	if dot < 0 {
		return true
	}
	n, err := strconv.ParseUint(id[dot+1:], 10, 64)
	if err != nil {
		return true // not one of ours
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	key := id[:dot] + " " + subject
	last, known := r.last[key]
	if r.last == nil || !known && len(r.last) >= idsKept {
		r.last = map[string]uint64{}
	}
	if n <= last {
		return false
	}
	r.last[key] = n
	if known {
		missing.Add(n - last - 1)
	}
	return true
}
