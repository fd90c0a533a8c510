package inbox

import (
	"sync"
	"time"
)

// A Deadline is one of the deadlines of a net.Conn, to wait on in a select. The zero value is
// not set. It is safe for concurrent use.
type Deadline struct {
	mu    sync.Mutex
	done  chan struct{} // closed when expired
	timer *time.Timer
	set   int // counts calls of Set, so that an outdated timer does nothing
}

// Set makes the deadline expire at t: at once when t is past, never when t is zero. Who waits
// already, waits by the new time.
func (d *Deadline) Set(t time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.done == nil || d.expired() {
		d.done = make(chan struct{})
	}
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		close(d.done)
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		if d.set == set {
			close(d.done)
		}
	})
}

// Done is closed when the deadline expires. It holds for the time up to the next Set that
// follows an expiry.
func (d *Deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.done == nil {
		d.done = make(chan struct{})
	}
	return d.done
}

// pending is Done while a deadline is set, else nil.
func (d *Deadline) pending() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timer == nil && !d.expired() {
		return nil
	}
	return d.done
}

// Expired tells whether it has.
func (d *Deadline) Expired() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expired()
}

func (d *Deadline) expired() bool {
	select {
	case <-d.done: // never ready while nil
		return true
	default:
		return false
	}
}
