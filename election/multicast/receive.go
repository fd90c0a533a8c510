package multicast

import (
	"context"
	"errors"
	"net"
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
		ReadErrors: c.readErrors.Load(), Interfaces: b.interfaces(),
	}
}

// receive reads the socket until it is closed.
func (b *Bus) receive(ctx context.Context) {
	defer close(b.packets)
	var (
		limits limiter
		seen   repeats
		delay  time.Duration // after errors that follow each other
		buffer = make([]byte, b.config.MaxPacket+1)
	)
	for {
		n, control, from, err := b.pc.ReadFrom(buffer)
		now := time.Now()
		switch {
		case ctx.Err() != nil || errors.Is(err, net.ErrClosed):
			return
		case errors.Is(err, tooLarge):
			b.count.oversized.Add(1)
			continue
		case err != nil:
			b.count.readErrors.Add(1)
			b.mu.Lock()
			b.problem("receive", "", err)
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
			b.problem("receive", "", nil)
			b.mu.Unlock()
		}
		udp, ok := from.(*net.UDPAddr)
		if !ok || control != nil && control.Dst != nil && !control.Dst.Equal(b.group.IP) {
			b.count.misaddressed.Add(1)
			continue
		}
		p := Packet{From: udp.AddrPort()}
		if control != nil {
			p.Index = control.IfIndex
			p.Interface = (*b.names.Load())[control.IfIndex]
		}
		switch {
		case n > b.config.MaxPacket:
			b.count.oversized.Add(1)
		case !limits.allow(p.From.Addr(), now):
			b.count.limited.Add(1)
		case !b.config.KeepRepeats && seen.again(buffer[:n], now):
			b.count.repeated.Add(1)
		default:
			p.Data = append([]byte(nil), buffer[:n]...)
			select {
			case b.packets <- p:
				b.count.delivered.Add(1)
			default:
				b.count.overflowed.Add(1)
			}
		}
	}
}
