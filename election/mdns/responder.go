package mdns

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/multicast"
	"github.com/miekg/dns"
)

// Group is where multicast DNS lives.
var Group = netip.MustParseAddrPort("224.0.0.251:5353")

// Group6 is where it lives by IPv6.
var Group6 = netip.MustParseAddrPort("[ff02::fb]:5353")

const (
	defaultQueryInterval = 3 * time.Second
	queueLength          = 256
	// A record goes to the group of an interface at most this often, announcements excepted
	// (RFC 6762, section 6).
	answerInterval = time.Second
)

// Config says how a Responder works. The zero value is that of kinopio-hub.
type Config struct {
	// QueryInterval is the time between two questions for leaves, by default 3 s, at least
	// 100 ms.
	QueryInterval time.Duration
	// Rescan is the time between two looks at the interfaces, see multicast.Config.
	Rescan time.Duration
	// Interfaces chooses among the interfaces by name; nil is all.
	Interfaces func(name string) bool
	// Logger hears what goes wrong while the rest goes on; nil is silent.
	Logger *slog.Logger
}

// Stats counts since Open.
type Stats struct {
	Queries    uint64 // that were sent
	Answers    uint64 // that were sent, to the group or to one asker
	Malformed  uint64 // packets that are no DNS messages
	Bad        uint64 // announcements of leaves that say what makes no sense
	Overflowed uint64 // announcements that nobody took from Announcements
	Bus        multicast.Stats
}

// A Responder announces a leaf and hears of others. Its methods may be called from any goroutine.
type Responder struct {
	config  Config
	bus     *multicast.Bus
	heard   chan Announcement
	cancel  context.CancelFunc
	running sync.WaitGroup

	queries, answers, malformed, bad, overflowed atomic.Uint64

	mu        sync.Mutex
	announced *records          // nil: nothing
	until     time.Time         // the announced holds
	toGroup   map[int]time.Time // when that was sent last, by the interface's index; 0 is all
	closed    bool
}

// Open joins the group and begins to ask. It fails when port 5353 cannot be shared.
func Open(config Config) (*Responder, error) {
	if config.QueryInterval == 0 {
		config.QueryInterval = defaultQueryInterval
	}
	if config.QueryInterval < 100*time.Millisecond {
		return nil, fmt.Errorf("open multicast DNS: QueryInterval is %v, want at least 100ms, or 0 for %v", config.QueryInterval, defaultQueryInterval)
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	bus, err := multicast.Open(multicast.Config{
		Group: Group, Group6: Group6, TTL: 255, KeepRepeats: true, // the same question comes from many
		Rescan: config.Rescan, Interfaces: config.Interfaces, Logger: config.Logger,
	})
	if err != nil {
		return nil, fmt.Errorf("open multicast DNS: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	r := &Responder{config: config, bus: bus, heard: make(chan Announcement, queueLength), cancel: cancel, toGroup: map[int]time.Time{}}
	r.running.Go(func() { r.run(ctx) })
	return r, nil
}

// Announcements are what is heard of leaves, the own one too. It is closed by Close. Who does
// not read loses announcements, which [Stats] counts, and blocks nobody.
func (r *Responder) Announcements() <-chan Announcement { return r.heard }

// Announce tells everyone of a leaf, and answers questions about it while that holds: for TTL,
// so announce again before. Each call may say something else; if it has another name than
// the one before, that one says goodbye. The error says which field is wrong and what would
// be right, or that the packet could not be sent (see [multicast.Bus.Send]).
func (r *Responder) Announce(leaf Leaf) error {
	next, err := newRecords(leaf)
	if err != nil {
		return fmt.Errorf("announce leaf: %w", err)
	}
	packet, err := next.announcement(ttlSeconds)
	if err != nil {
		return fmt.Errorf("announce leaf: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("announce leaf: %w", net.ErrClosed)
	}
	var renamed error
	if old := r.announced; old != nil && old.ptr.Ptr != next.ptr.Ptr {
		renamed = r.goodbye()
	}
	now := time.Now()
	r.announced, r.until = next, now.Add(TTL)
	r.toGroup = map[int]time.Time{0: now}
	if err := errors.Join(renamed, r.bus.Send(packet)); err != nil {
		return fmt.Errorf("announce leaf: %w", err)
	}
	return nil
}

// Goodbye tells everyone that the leaf goes, and answers no more questions about it. Without
// an announcement before it does nothing.
func (r *Responder) Goodbye() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return fmt.Errorf("say goodbye: %w", net.ErrClosed)
	}
	return r.goodbye()
}

func (r *Responder) goodbye() error {
	if r.announced == nil {
		return nil
	}
	packet, err := r.announced.announcement(0)
	if err == nil {
		err = r.bus.Send(packet)
	}
	r.announced = nil
	if err != nil {
		return fmt.Errorf("say goodbye: %w", err)
	}
	return nil
}

// Close says goodbye if something was announced, and waits for everything to end.
func (r *Responder) Close() error {
	r.mu.Lock()
	var err error
	if !r.closed {
		r.closed = true
		if err = r.goodbye(); errors.Is(err, multicast.ErrNoInterface) {
			err = nil // nobody is there to hear it
		}
	}
	r.mu.Unlock()
	r.cancel()
	err = errors.Join(err, r.bus.Close())
	r.running.Wait()
	return err
}

// Stats returns the present counts.
func (r *Responder) Stats() Stats {
	return Stats{
		Queries: r.queries.Load(), Answers: r.answers.Load(), Malformed: r.malformed.Load(),
		Bad: r.bad.Load(), Overflowed: r.overflowed.Load(), Bus: r.bus.Stats(),
	}
}

// run asks and listens until ctx ends or the bus is closed.
func (r *Responder) run(ctx context.Context) {
	defer close(r.heard)
	var seen browser
	ask := time.NewTicker(r.config.QueryInterval)
	defer ask.Stop()
	r.ask(&seen)
	for {
		select {
		case <-ctx.Done():
			return
		case <-ask.C:
			r.ask(&seen)
		case p, ok := <-r.bus.Packets():
			if !ok {
				return
			}
			r.take(p, &seen)
		}
	}
}

func (r *Responder) ask(seen *browser) {
	packet, err := query(seen.missing(time.Now()))
	if err != nil { // a name of somebody else's that cannot be asked for
		r.config.Logger.Debug("mdns: follow-up questions", "error", err)
		packet, err = query(nil)
	}
	if err == nil {
		err = r.bus.Send(packet)
	}
	switch {
	case err == nil:
		r.queries.Add(1)
	case errors.Is(err, net.ErrClosed), errors.Is(err, multicast.ErrNoInterface): // which the bus logs
	default:
		r.config.Logger.Debug("mdns: query", "error", err)
	}
}

// take handles one packet.
func (r *Responder) take(p multicast.Packet, seen *browser) {
	m := new(dns.Msg)
	if err := m.Unpack(p.Data); err != nil {
		r.malformed.Add(1)
		return
	}
	if !m.Response {
		r.reply(m, p)
		return
	}
	heard, bad := seen.hear(m, time.Now())
	for _, err := range bad {
		r.bad.Add(1)
		r.config.Logger.Debug("mdns: ignored", "from", p.From, "error", err)
	}
	for _, a := range heard {
		a.From, a.Interface = p.From, p.Interface
		select {
		case r.heard <- a:
		default:
			r.overflowed.Add(1)
		}
	}
}

// reply answers a query, if it is about what is announced.
func (r *Responder) reply(q *dns.Msg, p multicast.Packet) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if r.announced == nil || !now.Before(r.until) {
		return
	}
	to := r.announced.answer(q, p.From.Port())
	if to.unicast != nil {
		packet, err := to.unicast.Pack()
		if err == nil {
			err = r.bus.SendTo(packet, p.From)
		}
		r.answered(err)
	}
	if !to.multicast || now.Sub(r.toGroup[0]) < answerInterval || now.Sub(r.toGroup[p.Index]) < answerInterval {
		return
	}
	// An answer to the group says everything, as others will want to know the rest too.
	packet, err := r.announced.announcement(ttlSeconds)
	if err == nil {
		err = r.bus.SendOn(p.Index, packet)
	}
	if len(r.toGroup) > queueLength { // of interfaces that came and went
		r.toGroup = map[int]time.Time{}
	}
	r.toGroup[p.Index] = now
	r.answered(err)
}

func (r *Responder) answered(err error) {
	if err == nil {
		r.answers.Add(1)
	} else {
		r.config.Logger.Debug("mdns: answer", "error", err)
	}
}
