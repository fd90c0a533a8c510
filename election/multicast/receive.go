package multicast

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Stats counts packets since Open, except where it says otherwise.
type Stats struct {
	Sent      uint64 // to the group or an address; once, however many interfaces
	Delivered uint64 // into Packets
	// Packets that were dropped: larger than MaxPacket, more than a source may send, a
	// repetition, while nobody read Packets, and not sent to the group.
	Oversized, Limited, Repeated, Overflowed, Misaddressed uint64
	ReadErrors                                             uint64
	Interfaces                                             []string // joined now, sorted by index
	// Problems are what does not work at the moment, one a line of text, sorted.
	Problems []string
}

type counters struct {
	sent, delivered, oversized, limited, repeated, overflowed, misaddressed, readErrors atomic.Uint64
}

// Stats returns the present counts.
func (b *Bus) Stats() Stats {
	c := &b.count
	return Stats{
		Sent: c.sent.Load(), Delivered: c.delivered.Load(),
		Oversized: c.oversized.Load(), Limited: c.limited.Load(), Repeated: c.repeated.Load(),
		Overflowed: c.overflowed.Load(), Misaddressed: c.misaddressed.Load(),
		ReadErrors: c.readErrors.Load(), Interfaces: b.interfaces(), Problems: b.wrong(),
	}
}

// A sieve drops what is too much. Several sockets share one.
type sieve struct {
	mu     sync.Mutex
	limits limiter
	seen   repeats
}

// receive reads a socket until it is closed.
func (b *Bus) receive(ctx context.Context, s *socket) {
	var delay time.Duration // after errors that follow each other
	buffer := make([]byte, b.config.MaxPacket+1)
	what := concern{"receive", s.group.IP.String()}
	for {
		n, index, from, ours, err := s.read(buffer)
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, tooLarge):
			b.count.oversized.Add(1)
			continue
		case err != nil:
			b.count.readErrors.Add(1)
			b.mu.Lock()
			b.problem(what.what, what.on, err)
			b.mu.Unlock()
			delay = min(max(2*delay, 10*time.Millisecond), time.Second)
			select {
			case <-ctx.Done():
				return
			case <-time.After(delay):
			}
			continue
		}
		if delay > 0 {
			delay = 0
			b.mu.Lock()
			b.problem(what.what, what.on, nil)
			b.mu.Unlock()
		}
		if !ours {
			b.count.misaddressed.Add(1)
			continue
		}
		b.take(Packet{Data: buffer[:n], From: from, Index: index, Interface: (*b.names.Load())[index]})
	}
}

// take hands a packet on, whose Data is copied, unless it is too much.
func (b *Bus) take(p Packet) {
	now := time.Now()
	b.sieve.mu.Lock()
	defer b.sieve.mu.Unlock()
	switch {
	case len(p.Data) > b.config.MaxPacket:
		b.count.oversized.Add(1)
	case !b.sieve.limits.allow(p.From.Addr(), now):
		b.count.limited.Add(1)
	case !b.config.KeepRepeats && b.sieve.seen.again(p.Data, now):
		b.count.repeated.Add(1)
	default:
		p.Data = append([]byte(nil), p.Data...)
		select {
		case b.packets <- p:
			b.count.delivered.Add(1)
		default:
			b.count.overflowed.Add(1)
		}
	}
}
