package hub

import "sync"

// Limits of what waits for one slow callback. What comes on top is dropped and reported.
const (
	mailboxMessages = 512 << 10
	mailboxBytes    = 64 << 20
)

// A mailbox is what waits for one callback.
type mailbox struct {
	mu       sync.Mutex
	nonEmpty sync.Cond
	waiting  []*Message
	spare    []*Message // the batch before the last, to be filled again
	bytes    int
	latest   bool           // a message takes the place of the one that waits
	closed   bool           // nothing more is taken, either
	ending   bool           // nothing more is put
	full     bool           // since the last empty moment
	dropped  func(*Message) // if set, is called with what is too much
}

func (b *mailbox) init() { b.nonEmpty.L = &b.mu }

func (b *mailbox) put(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed || b.ending {
		return
	}
	if b.latest && len(b.waiting) > 0 {
		b.waiting[0], b.bytes = m, len(m.Data)
		return
	}
	if len(b.waiting) >= mailboxMessages || b.bytes+len(m.Data) > mailboxBytes && len(b.waiting) > 0 {
		if !b.full {
			b.full = true
			m.hub.report(slowConsumer(m.Subject, len(b.waiting), b.bytes))
		}
		if b.dropped != nil {
			b.dropped(m)
		}
		return
	}
	b.waiting = append(b.waiting, m)
	b.bytes += len(m.Data)
	if len(b.waiting) == 1 {
		b.nonEmpty.Signal()
	}
}

// take waits for messages; false means that there will be none.
func (b *mailbox) take() ([]*Message, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.waiting) == 0 && !b.closed && !b.ending {
		b.nonEmpty.Wait()
	}
	if b.closed || len(b.waiting) == 0 {
		return nil, false
	}
	batch := b.waiting
	b.waiting, b.spare = b.spare[:0], nil
	b.bytes, b.full = 0, false
	return batch, true
}

// reuse gives a batch that has been dealt with back.
func (b *mailbox) reuse(batch []*Message) {
	clear(batch)
	b.mu.Lock()
	b.spare = batch[:0]
	b.mu.Unlock()
}

// close drops what waits.
func (b *mailbox) close() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	b.waiting = nil
	b.nonEmpty.Signal()
}

// last lets what waits be taken, and nothing more be put.
func (b *mailbox) last() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ending = true
	b.nonEmpty.Signal()
}
