package demo

import (
	"slices"
	"sync"
	"time"
)

// event is one thing that happened. With --json it is printed as it is, and the page gets it
// as a server-sent event.
type event struct {
	Time  time.Time   `json:"time"`
	Event string      `json:"event"` // "ready", "leaf", "move", "page" or "warning"
	Ready *readyEvent `json:"ready,omitempty"`
	Leaf  *leafStatus `json:"leaf,omitempty"`
	Move  *moveEvent  `json:"move,omitempty"`
	Text  string      `json:"text,omitempty"`
}

// readyEvent has all the addresses.
type readyEvent struct {
	Page     string        `json:"page"`
	Backbone backboneLinks `json:"backbone"`
	Leaf     leafLinks     `json:"leaf"`
	Guest    *guestLinks   `json:"guest,omitempty"`
	TLS      bool          `json:"tls"`
	CAFile   string        `json:"caFile,omitempty"` // what a browser must trust, with TLS
	Rate     int           `json:"rate"`
	PID      int           `json:"pid"`
}

type backboneLinks struct {
	Client    string `json:"client"`
	WebSocket string `json:"websocket"`
	Leafnode  string `json:"leafnode"`
}

type leafLinks struct {
	Client    string `json:"client"`
	WebSocket string `json:"websocket"`
	Manifest  string `json:"manifest"`
	Monitor   string `json:"monitor"`
	AfterMs   int64  `json:"afterMs"`
}

// guestLinks is what guests come by.
type guestLinks struct {
	URL          string `json:"url"`    // of the page; what the QR code says
	Secure       bool   `json:"secure"` // it is https, where browsers have WebTransport
	NamespaceKey string `json:"namespaceKey"`
}

// moveEvent is a change of server by a native hub or by a page.
type moveEvent struct {
	Who     string  `json:"who"` // "publisher", "service", "page" or "guest"
	From    string  `json:"from,omitempty"`
	To      string  `json:"to,omitempty"`
	Via     string  `json:"via,omitempty"`
	Reason  string  `json:"reason,omitempty"`
	Planned bool    `json:"planned"`
	TookMs  float64 `json:"tookMs"`
	HeldMs  float64 `json:"heldMs"`
	Error   string  `json:"error,omitempty"`
}

// events hands each event to everyone who listens, in order, and knows the latest of each
// kind. A listener that is too slow to take 256 events is cut off; a page then asks anew.
type events struct {
	mu        sync.Mutex
	listeners map[chan event]struct{}
	latest    []event
}

func newEvents() *events { return &events{listeners: map[chan event]struct{}{}} }

func (e *events) publish(ev event) {
	ev.Time = time.Now()
	e.mu.Lock()
	defer e.mu.Unlock()
	e.latest = append(slices.DeleteFunc(e.latest, ev.replaces), ev)
	for c := range e.listeners {
		select {
		case c <- ev:
		default:
			delete(e.listeners, c)
			close(c)
		}
	}
}

// replaces says whether ev makes old out of date.
func (ev event) replaces(old event) bool {
	if ev.Move != nil && old.Move != nil {
		return ev.Move.Who == old.Move.Who
	}
	return ev.Event == old.Event
}

// listen returns the latest event of each kind and a channel of those from now on; it is
// closed by stop, or when its reader was too slow.
func (e *events) listen() (latest []event, c <-chan event, stop func()) {
	ch := make(chan event, 256)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.listeners[ch] = struct{}{}
	return slices.Clone(e.latest), ch, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		if _, ok := e.listeners[ch]; ok {
			delete(e.listeners, ch)
			close(ch)
		}
	}
}
