package hub

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A Hub is a set of scopes and variables, connected to one server at a time. It is safe for
// concurrent use.
type Hub struct {
	cfg           Config
	id            string // unique; part of inboxes and queue names
	engine        engine
	registry      registry
	intake        intake
	outbox        outbox
	repairs       repairs
	variables     any // *variables, which pages need not know: see all
	variablesOnce sync.Once
	kept          atomic.Pointer[keeperBox]
	keptOnce      sync.Once
	here          atomic.Pointer[peersBox]
	hereOnce      sync.Once
	finder        *finder       // nil unless a namespace is configured
	missing       atomic.Uint64 // messages, by their numbers
	longestNames  atomic.Int64  // bytes; see checkLength
	requests      requests
	standby       *standby // nil unless configured
	silent        silentServers
	links         atomic.Uint64
	losses        atomic.Uint64 // of links that broke

	ctx    context.Context // ends with the hub
	cancel context.CancelFunc
	wg     sync.WaitGroup // every goroutine of the hub
	done   chan struct{}

	connectRequested chan struct{}         // Connect was called
	reconnects       chan reconnectRequest // Reconnect was called
	proposals        chan proposal         // from discovery

	discoveryRequests      chan chan struct{} // RequestLocalNetwork was called; closed when done
	permission             chan struct{}      // tokens: a permission of the page has changed,
	lateWay                chan string        // a URL: a way to that leaf has opened since it was dialed,
	visibilityForDiscovery chan struct{}      // it was shown or hidden, for discovery,
	visibilityForPulse     chan struct{}      // and the same for pulse
	check                  chan struct{}      // a token: CheckLink was called,
	retryNow               chan struct{}      // the same while there was no link

	events   eventQueue // for the observers
	onState  observers[State]
	onMove   observers[Move]
	onError  observers[error]
	onHealth observers[Health]

	onMissing observers[Missing]

	inboxDenied, answersDenied sync.Once   // told of
	answered                   atomic.Bool // something

	onDiscovery observers[DiscoveryStatus]

	reporting sync.Once // the goroutine that reports health
	traffic   traffic

	mu        sync.Mutex // guards what follows
	closed    bool
	status    Status
	discovery DiscoveryStatus
	live      *link         // the current link
	changed   chan struct{} // closed, and replaced, when status or live change
	final     error         // why the hub gave up
	failed    error         // why the last attempt to connect failed, since the hub has had no link
	// variableDenied tells the variable of a subject, if there is one, that the server does not permit what was published on
	// it; variablesEnd ends all. Functions, nil before the first variable, so that pages, whose variables are JavaScript's, do
	// not download it.
	variableDenied func(subject string) (known bool)
	variablesEnd   func()
}

// Open makes a hub and begins to connect, without waiting for it: names can be used at once.
// The hub lives until Close, or until ctx ends. An error says which field of cfg is wrong.
func Open(ctx context.Context, cfg Config) (*Hub, error) {
	cfg, err := cfg.normalize()
	if err != nil {
		return nil, err
	}
	return open(ctx, cfg, newEngine(&cfg)), nil
}

func open(ctx context.Context, cfg Config, e engine) *Hub {
	h := &Hub{
		cfg:              cfg,
		id:               rand.Text()[:10],
		engine:           e,
		done:             make(chan struct{}),
		connectRequested: make(chan struct{}, 1),
		reconnects:       make(chan reconnectRequest),
		proposals:        make(chan proposal),

		discoveryRequests:      make(chan chan struct{}),
		permission:             make(chan struct{}, 1),
		lateWay:                make(chan string, 1),
		visibilityForDiscovery: make(chan struct{}, 1),
		visibilityForPulse:     make(chan struct{}, 1),
		check:                  make(chan struct{}, 1),
		retryNow:               make(chan struct{}, 1),

		discovery: DiscoveryStatus{State: DiscoveryIdle},
		changed:   make(chan struct{}),
	}
	h.cfg.Servers = order(cfg.Servers, cfg.Selection)
	if cfg.Logger != (silent{}) {
		h.cfg.Logger = newLines(cfg.Logger)
	}
	h.ctx, h.cancel = context.WithCancel(ctx)
	h.longestNames.Store(mostNames)
	h.registry = registry{hub: h, entries: map[entryKey]*entry{}, wild: map[*entry]bool{}}
	h.intake = intake{
		hub: h, start: time.Now(), seed: maphash.MakeSeed(), remembers: cfg.Standby,
		gaps: map[*counter]bool{}, deaf: map[uint64]int64{},
	}
	h.outbox.hub, h.outbox.publisher, h.outbox.turn = h, natswire.NewPublisher(), make(chan struct{}, 1)
	h.outbox.store.limit, h.outbox.store.age = cfg.Repair.Bytes, cfg.Repair.Age
	h.finder = h.newFinder()
	if cfg.leaves == nil {
		h.cfg.leaves = new(leafRecords)
	}
	h.cfg.leaves.hub = h
	h.repairs.h, h.repairs.wake = h, make(chan struct{}, 1)
	if cfg.Standby {
		h.standby = &standby{h: h, turn: make(chan struct{}, 1)}
	}
	h.requests.isOpen = h.outbox.isOpen
	h.requests.pending, h.requests.start = map[uint64]*request{}, time.Now()
	h.status.State = StateDisconnected
	if !cfg.ManualConnect {
		h.status.State = StateConnecting // from the beginning, so no observer is told
		h.connectRequested <- struct{}{}
	}
	h.wg.Go(h.run)
	h.wg.Go(h.pulse)
	h.watchPage()
	logging := make(chan struct{})
	if l, ok := h.cfg.Logger.(*lines); ok {
		go func() {
			defer close(logging)
			l.queue.run()
		}()
	} else {
		close(logging)
	}
	h.events.nonEmpty.L = &h.events.mu
	observing := make(chan struct{})
	go func() {
		defer close(observing)
		h.events.run()
	}()
	go h.end(observing, logging)
	return h
}

// end waits for the hub's context and then for everything that the hub started.
func (h *Hub) end(observing, logging <-chan struct{}) {
	<-h.ctx.Done()
	h.mu.Lock()
	h.closed = true
	h.mu.Unlock()
	h.outbox.close()
	h.requests.close()
	for _, s := range h.registry.close() {
		s.finish()
	}
	h.mu.Lock()
	endVariables := h.variablesEnd
	h.mu.Unlock()
	if endVariables != nil {
		endVariables()
	}
	h.wg.Wait()
	h.setState(StateDisconnected, nil)
	h.setDiscovery(DiscoveryIdle, "")
	h.events.close()
	<-observing
	if l, ok := h.cfg.Logger.(*lines); ok {
		l.queue.close()
	}
	<-logging
	close(h.done)
}

// Close ends the hub: what waits fails with ErrDisposed, and no callback begins any more.
// It returns when everything has ended, so it must not be called from a callback; there,
// end the context that was given to Open. It may be called any number of times.
func (h *Hub) Close() error {
	h.cancel()
	<-h.done
	return nil
}

// Done is closed when the hub has ended.
func (h *Hub) Done() <-chan struct{} { return h.done }

// spawn runs fn on a goroutine that Close waits for; false after Close. What the hub's own
// goroutines must have done even then they start with wg.Go: Close waits for them already.
func (h *Hub) spawn(fn func()) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return false
	}
	h.wg.Go(fn)
	return true
}

// Connect begins to connect, for Config.ManualConnect and after StateError. Otherwise, and
// when called again, it does nothing. It does not wait.
func (h *Hub) Connect() error {
	if h.ctx.Err() != nil {
		return ErrDisposed
	}
	h.clearFailure() // who calls Connected next must not be told of the old failure
	select {
	case h.connectRequested <- struct{}{}:
	default:
	}
	return nil
}

// Connected waits until messages flow. It fails with ErrDisposed, with the reason why the
// hub gave up, or with ErrTimeout or ErrDisconnected when ctx ends: then only the waiting has ended, and the
// hub goes on trying.
func (h *Hub) Connected(ctx context.Context) error {
	_, err := h.current(ctx)
	return err
}

// current waits for a link.
func (h *Hub) current(ctx context.Context) (*link, error) {
	start := time.Now()
	for {
		h.mu.Lock()
		l, changed, final, state, last := h.live, h.changed, h.final, h.status.State, h.failed
		h.mu.Unlock()
		switch {
		case h.ctx.Err() != nil:
			return nil, ErrDisposed
		case l != nil:
			return l, nil
		case state == StateError:
			return nil, final
		}
		select {
		case <-changed:
		case <-h.ctx.Done():
			return nil, ErrDisposed
		case <-ctx.Done():
			why := ErrDisconnected
			if last != nil {
				why = fmt.Errorf("%w: %w", ErrDisconnected, last)
			}
			if state == StateConnecting {
				why = fmt.Errorf("%w; the hub goes on trying", why)
			}
			return nil, ctxError(ctx, why, start)
		}
	}
}

// Flush returns when a server has dealt with everything that was published and subscribed
// before. Without a deadline in ctx it waits for Config.Timeout.
func (h *Hub) Flush(ctx context.Context) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.cfg.Timeout)
		defer cancel()
	}
	return h.flush(ctx)
}

// flush is Flush that waits for a connection as long as it takes.
func (h *Hub) flush(ctx context.Context) error {
	start := time.Now()
	for {
		if _, err := h.current(ctx); err != nil {
			return err
		}
		if err := h.wait(ctx, h.outbox.send(nil)); err != nil && !isDisconnected(err) {
			return err
		}
		l, err := h.current(ctx) // a move may have come in between
		if err != nil {
			return err
		}
		err = l.wire.Flush(ctx)
		if err == nil {
			l.hears()
			return nil
		}
		if ctx.Err() != nil {
			return ctxError(ctx, errUnconfirmed, start)
		}
		select { // the link has died: the next one has everything again
		case <-l.wire.Done():
		case <-ctx.Done():
		}
		h.awaitChange(ctx, l)
	}
}

var errUnconfirmed = errors.New("the server has not answered")

// awaitChange returns when l is no longer the current link.
func (h *Hub) awaitChange(ctx context.Context, l *link) {
	for {
		h.mu.Lock()
		live, changed := h.live, h.changed
		h.mu.Unlock()
		if live != l {
			return
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return
		case <-h.ctx.Done():
			return
		}
	}
}

// State is the hub's state now.
func (h *Hub) State() State {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status.State
}

// Status is what the hub knows of itself now.
func (h *Hub) Status() Status {
	h.mu.Lock()
	s, l := h.status, h.live
	h.mu.Unlock()
	if l != nil {
		s.Server, s.Via, s.MaxPayload, s.Isolated = l.target.String(), l.target.via, l.limit, l.isolated.Load()
		h.refreshDistance(l)
	}
	s.Missing, s.Repairing = h.missing.Load(), h.intake.waitingFor()
	s.Standby = h.standby.server()
	s.Subscriptions, s.PendingBytes = h.registry.size(), h.outbox.pending()+h.keeper().pending()
	return s
}

// OnStateChange calls fn with each new state, in order, until stop.
func (h *Hub) OnStateChange(fn func(State)) (stop func()) { return h.onState.add(fn) }

// OnMove calls fn with each change of server, the first connection and failed moves included.
func (h *Hub) OnMove(fn func(Move)) (stop func()) { return h.onMove.add(fn) }

// OnError calls fn with what went wrong and is nobody's return value: what a server
// complained of, a callback that panicked, a subscription that is too slow.
func (h *Hub) OnError(fn func(error)) (stop func()) { return h.onError.add(fn) }

// setState changes the state, and l, the current link.
func (h *Hub) setState(s State, l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.change(s, l)
}

// change is setState with h.mu held.
func (h *Hub) change(s State, l *link) {
	different := h.status.State != s
	h.status.State, h.live = s, l
	if l != nil {
		h.failed = nil
	}
	close(h.changed)
	h.changed = make(chan struct{})
	if different {
		h.cfg.Logger.Debug("state", "state", s)
		h.events.put(func() { h.onState.notify(s, h.observerFailed) }, changesKept)
	}
}

// count changes the status's figures.
func (h *Hub) count(change func(*Status)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	change(&h.status)
}
