package hub

// prints are the fingerprints of a stream's last messages, by number, as far back as copies of them may come:
// of printsFew at least, and of as many as come within copyWindow, up to printsMost. The zero value is ready.
type prints struct {
	ring   []uint32 // 0: nothing came under that number
	around int64    // when the ring began anew
}

const printsFew, printsMost = 16, 1024

func (p *prints) len() uint64 { return uint64(len(p.ring)) }

// at is what came as n, or 0.
func (p *prints) at(n uint64) uint32 { return p.ring[n&uint64(len(p.ring)-1)] }

func (p *prints) set(n uint64, print uint32) { p.ring[n&uint64(len(p.ring)-1)] = print }

// next notes the next message.
func (p *prints) next(n uint64, data []byte, now int64) {
	if p.ring == nil {
		p.ring = make([]uint32, printsFew)
	}
	at := n & uint64(len(p.ring)-1)
	p.ring[at] = printOf(data)
	if at == 0 {
		p.turn(n, now)
	}
}

// run notes messages in a row, of which first is the number of the first one.
func (p *prints) run(first uint64, run [][]byte, now int64) {
	for i := max(0, len(run)-printsMost); i < len(run); i++ {
		p.next(first+uint64(i), run[i], now)
	}
}

// turn is called when the ring has been filled once more, with n last: if that was quick, it is too small.
func (p *prints) turn(n uint64, now int64) {
	if old := p.ring; now-p.around < int64(copyWindow) && len(old) < printsMost {
		p.ring = make([]uint32, 2*len(old))
		for i := uint64(0); i < uint64(len(old)) && i <= n; i++ {
			p.set(n-i, old[(n-i)&uint64(len(old)-1)])
		}
	}
	p.around = now
}

// skip notes that nothing came from one number to another.
func (p *prints) skip(from, to uint64) {
	for n := to; n >= from && to-n < p.len(); n-- {
		p.set(n, 0)
	}
}

// forget begins anew.
func (p *prints) forget() { clear(p.ring) }
