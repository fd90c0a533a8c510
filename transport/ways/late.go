package ways

import (
	"context"
	"net"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

const (
	// patience is how long a handshake may go on that nobody waits for any more: Chromium may hold it up for a minute. One that
	// is called off counts as one that has failed, and holds up the next ones for longer.
	patience = 75 * time.Second
	// keep is how long a session waits, when it has opened late, until it is dialed. Servers do not wait long for a first word.
	keep = 5 * time.Second
	// mostLate is how many there may be of both.
	mostLate = 4
)

// An attempt is one handshake.
type attempt struct {
	way    way
	begun  time.Time
	cancel context.CancelFunc
	done   chan struct{} // closed when it has opened or failed, and then
	conn   net.Conn
	err    error

	taken chan struct{} // closed when somebody waits for it again
}

// begin begins an attempt. d.mu is held.
func (d *Dialer) begin(w way) *attempt {
	ctx, cancel := context.WithCancel(context.Background())
	a := &attempt{way: w, begun: time.Now(), cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(a.done)
		defer cancel()
		a.conn, a.err = d.sessions.Open(ctx, w.URL, w.CertificateHashes)
	}()
	return a
}

func (a *attempt) opened() bool {
	select {
	case <-a.done:
		return a.err == nil
	default:
		return false
	}
}

// hedge is how long to wait for it before a WebSocket is tried beside it.
func (a *attempt) hedge(now time.Time) time.Duration { return max(0, hedge-now.Sub(a.begun)) }

// take makes an attempt the caller's to wait for. d.mu is held.
func (d *Dialer) take(a *attempt) *attempt {
	delete(d.late, a.way.key())
	close(a.taken)
	return a
}

// failed notes that a handshake has failed, and makes another address the next one.
func (d *Dialer) failed() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures.add(time.Now())
	d.turn++
}

// callOff ends an attempt of the caller's. To the browser it has failed.
func (d *Dialer) callOff(a *attempt) {
	a.cancel()
	d.failed()
	go a.discard()
}

// discard closes what an attempt may still bring.
func (a *attempt) discard() {
	<-a.done
	if a.conn != nil {
		_ = a.conn.Close()
	}
}

// keepLate lets an attempt of the caller's, who waits no longer, go on; when it opens, late is told of it, and the next Dial of
// url has it.
func (d *Dialer) keepLate(a *attempt, url string, late *transport.Late) {
	d.mu.Lock()
	if key := a.way.key(); late != nil && d.late[key] == nil && len(d.late) < mostLate {
		a.taken = make(chan struct{})
		d.late[key] = a
		d.turn++
		d.mu.Unlock()
		go d.await(a, a.taken, url, late)
		return
	}
	d.mu.Unlock()
	d.callOff(a)
}

// await ends an attempt that nobody comes for.
func (d *Dialer) await(a *attempt, taken <-chan struct{}, url string, late *transport.Late) {
	timer := time.NewTimer(patience - time.Since(a.begun))
	defer timer.Stop()
	done := a.done
	for over := false; !over; {
		select {
		case <-taken:
			return
		case <-done:
			if over = a.err != nil; !over {
				done = nil
				timer.Reset(keep)
				late.Opened(url)
			}
		case <-timer.C:
			over = true
		case <-late.Life.Done():
			over = true
		}
	}
	d.mu.Lock()
	mine := d.late[a.way.key()] == a // else somebody has taken it this moment
	if mine {
		delete(d.late, a.way.key())
	}
	d.mu.Unlock()
	switch {
	case !mine:
	case a.opened():
		a.discard()
	default:
		d.callOff(a)
	}
}
