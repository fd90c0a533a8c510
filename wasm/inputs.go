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

// put gives a buffer back; what is not of the pool's own size is left to the collector.
func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if cap(b) == inputBytes && len(p.free) < 8 {
		p.free = append(p.free, b[:inputBytes])
	}
}
