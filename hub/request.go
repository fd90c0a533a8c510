package hub

import (
	"container/heap"
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// Headers of a reply whose handler failed: the convention of NATS services.
const (
	headerServiceError     = "Nats-Service-Error"
	headerServiceErrorCode = "Nats-Service-Error-Code"
	headerStatus           = "Status" // "503": nobody serves the subject
)

// requests are those that wait for their answer. One timer serves them all.
type requests struct {
	mu      sync.Mutex
	pending map[uint64]*request // by token
	random  [256]byte           // for tokens
	left    int                 // of random, in bytes
	due     dueHeap
	timer   *time.Timer
	start   time.Time     // that deadlines are counted from: the monotonic clock alone is cheaper to read
	armed   time.Duration // when the timer fires; 0: it does not
	arms    int           // times that it was set
	closed  bool
	isOpen  func() bool // there is a link: what was not sent waits for room on it
}

type request struct {
	token    uint64
	subject  string
	link     *link // that sent it; nil before
	deadline time.Duration
	timeout  time.Duration
	place    int // in the heap
	done     func(*Message, error)
	quiet    bool // the hub's own: nobody is told why it fails

	each func(*Message) (enough bool) // for several answers; then the deadline is no error
	mu   sync.Mutex                   // held while each runs
	over bool                         // each is not called any more
}

// Request sends out and calls done once: with the first answer, or with ErrNoResponders, a
// *[ServiceError], ErrTimeout (after timeout; 0 means Config.Timeout), ErrDisconnected when it
// could not be sent in that time or the link that carried it was lost, or what the cancellation was. done may be called before
// Request returns, must not wait or call the hub, and the Message is valid during the call only.
// out.Reply is ignored.
func (h *Hub) Request(out OutMsg, timeout time.Duration, done func(*Message, error)) (cancel func()) {
	return h.request(context.Background(), out, timeout, &request{quiet: strings.HasPrefix(out.Subject, askPrefix), done: done})
}

// RequestMany sends out and calls each with every answer that comes within window (0 means
// Config.Timeout), at most max (0: no limit), and then done once: with nil, or as for Request.
// The same rules hold for both callbacks.
func (h *Hub) RequestMany(out OutMsg, window time.Duration, max int, each func(*Message), done func(error)) (cancel func()) {
	return h.requestMany(context.Background(), out, window, max, each, done)
}

func (h *Hub) requestMany(ctx context.Context, out OutMsg, window time.Duration, max int, each func(*Message), done func(error)) (cancel func()) {
	left := max
	return h.request(ctx, out, window, &request{
		quiet: strings.HasPrefix(out.Subject, whoPrefix),
		done:  func(_ *Message, err error) { done(err) },
		each: func(m *Message) bool {
			each(m)
			left--
			return left == 0
		},
	})
}

// request is Request. While the connection is congested it waits, until ctx ends or for timeout.
func (h *Hub) request(ctx context.Context, out OutMsg, timeout time.Duration, q *request) (cancel func()) {
	out.Reply, q.subject = "", out.Subject
	err := checkName(out.Subject, false)
	if err == nil {
		err = h.checkMessage(&out)
	}
	if err == nil {
		err = h.checkLength(out.Subject, inboxNames)
	}
	if err != nil {
		q.done(nil, err)
		return func() {}
	}
	if timeout <= 0 {
		timeout = h.cfg.Timeout
	}
	if !h.requests.add(timeout, q) {
		q.done(nil, ErrDisposed)
		return func() {}
	}
	h.outbox.sendRequest(ctx, timeout, out, q)
	return func() { h.requests.finish(q, nil, fmt.Errorf("%w: %w", ErrCanceled, context.Canceled)) }
}

func (r *requests) add(timeout time.Duration, q *request) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return false
	}
	for q.token == 0 || r.pending[q.token] != nil {
		q.token = r.token()
	}
	q.timeout = timeout
	q.deadline = time.Since(r.start) + timeout
	r.pending[q.token] = q
	heap.Push(&r.due, q)
	if q.place == 0 && (r.armed == 0 || q.deadline < r.armed) {
		r.arm()
	}
	return true
}

// sending binds q to the link that is about to carry it; false if q has ended.
func (r *requests) sending(q *request, l *link, m *OutMsg) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pending[q.token] != q {
		return false
	}
	q.link = l
	l.unanswered.Add(1)
	m.Reply = l.inbox + string(natswire.Append62(nil, q.token, 1))
	return true
}

// answer takes a message from a link's inbox.
func (r *requests) answer(token string, m *Message) {
	n, ok := natswire.Parse62(token)
	if !ok {
		return
	}
	r.mu.Lock()
	q := r.pending[n]
	r.mu.Unlock()
	if q == nil {
		return
	}
	switch {
	case m.Header.Get(headerStatus) == "503" && len(m.Data) == 0:
		r.finish(q, nil, ErrNoResponders)
	case m.Header[headerServiceError] != nil || m.Header[headerServiceErrorCode] != nil:
		r.finish(q, nil, &ServiceError{
			Code:    m.Header.Get(headerServiceErrorCode),
			Message: m.Header.Get(headerServiceError),
			Data:    m.Data,
		})
	case q.each != nil:
		q.mu.Lock()
		enough := !q.over && q.each(m)
		q.mu.Unlock()
		if enough {
			r.finish(q, nil, nil)
		}
	default:
		r.finish(q, m, nil)
	}
}

// finish ends q, unless it has ended.
func (r *requests) finish(q *request, m *Message, err error) {
	r.mu.Lock()
	if r.pending[q.token] != q {
		r.mu.Unlock()
		return
	}
	delete(r.pending, q.token)
	heap.Remove(&r.due, q.place) // the timer stays: moving it with each answer would cost more
	l := q.link
	r.mu.Unlock()
	q.mu.Lock()
	q.over = true
	q.mu.Unlock()
	q.done(m, err)
	if l != nil && l.unanswered.Add(-1) == 0 {
		select {
		case l.quiet <- struct{}{}:
		default:
		}
	}
}

// fail ends every request that which picks, and says how many these were.
func (r *requests) fail(err error, which func(*request) bool) int {
	return r.failEach(func(*request) error { return err }, which)
}

func (r *requests) failEach(why func(*request) error, which func(*request) bool) int {
	r.mu.Lock()
	var picked []*request
	for _, q := range r.pending {
		if which(q) {
			picked = append(picked, q)
		}
	}
	r.mu.Unlock()
	for _, q := range picked {
		r.finish(q, nil, why(q))
	}
	return len(picked)
}

// token is a number that nobody can guess who has seen any others, of up to eleven digits. r.mu is held.
func (r *requests) token() uint64 {
	if r.left == 0 {
		rand.Read(r.random[:])
		r.left = len(r.random)
	}
	r.left -= 8
	return binary.LittleEndian.Uint64(r.random[r.left:]) >> 2
}

// lost fails what was sent through l.
func (r *requests) lost(l *link) {
	err := fmt.Errorf("%w: %s was lost before the answer came", ErrDisconnected, l.target)
	r.fail(err, func(q *request) bool { return q.link == l })
}

func (r *requests) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.fail(ErrDisposed, func(*request) bool { return true })
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arm()
}

// armings is how many times the timer has been set.
func (r *requests) armings() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.arms
}

// arm sets the timer to the first deadline, with r.mu held.
func (r *requests) arm() {
	r.arms++
	if len(r.due) == 0 {
		r.armed = 0
		if r.timer != nil {
			r.timer.Stop()
		}
		return
	}
	r.armed = max(1, r.due[0].deadline)
	wait := r.armed - time.Since(r.start)
	if r.timer == nil {
		r.timer = time.AfterFunc(wait, r.expire)
	} else {
		r.timer.Reset(wait)
	}
}

func (r *requests) expire() {
	now := time.Since(r.start)
	due := func(several bool) func(*request) bool {
		return func(q *request) bool { return q.deadline <= now && several == (q.each != nil) }
	}
	open := r.isOpen()
	r.failEach(func(q *request) error {
		if open {
			return fmt.Errorf("%w after %v (%w)", ErrTimeout, q.timeout, errCongested)
		}
		return fmt.Errorf("%w: no server for %v", ErrDisconnected, q.timeout)
	}, func(q *request) bool { return q.link == nil && q.deadline <= now })
	r.failEach(func(q *request) error { return fmt.Errorf("%w: no answer for %v", ErrTimeout, q.timeout) }, due(false))
	r.fail(nil, due(true))
	r.mu.Lock()
	defer r.mu.Unlock()
	r.arm()
}

// dueHeap has the earliest deadline first.
type dueHeap []*request

func (d dueHeap) Len() int           { return len(d) }
func (d dueHeap) Less(i, j int) bool { return d[i].deadline < d[j].deadline }
func (d dueHeap) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}
func (d *dueHeap) Push(q any) {
	q.(*request).place = len(*d)
	*d = append(*d, q.(*request))
}
func (d *dueHeap) Pop() any {
	old := *d
	q := old[len(old)-1]
	old[len(old)-1] = nil
	*d = old[:len(old)-1]
	return q
}
