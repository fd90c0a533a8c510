package main

import "sync"

// inputBytes is the least size of a buffer that JavaScript fills: a microtask's worth, or one
// message of 64 KiB.
const inputBytes = 128 << 10

// inputs are the buffers that JavaScript fills and commanders empty.
var inputs pool

// A pool keeps buffers of inputBytes for the next use. Its zero value is empty.
type pool struct {
	mu   sync.Mutex
	free [][]byte
}

// get returns a buffer of at least n bytes.
func (p *pool) get(n int) []byte {
	if n > inputBytes {
		return make([]byte, n)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.free) - 1; last >= 0 {
		b := p.free[last]
		p.free = p.free[:last]
		return b
	}
	return make([]byte, inputBytes)
}

func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(b) == inputBytes && len(p.free) < 8 {
		p.free = append(p.free, b[:inputBytes])
	}
}
