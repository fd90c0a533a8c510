package main

import "sync"

const (
	// inputBytes is the least size of a buffer that JavaScript fills: a microtask's worth, or one
	// message of 64 KiB.
	inputBytes = 128 << 10
	// largeInput bounds the one larger buffer that is kept.
	largeInput = 2 << 20
)

// inputs are the buffers that JavaScript fills and hubs empty.
var inputs pool

// A pool keeps buffers for the next use. Its zero value is empty.
type pool struct {
	mu    sync.Mutex
	free  [][]byte // of inputBytes
	large []byte
}

// put gives a buffer back; what is not worth keeping is left to the collector.
func (p *pool) put(b []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch n := cap(b); {
	case n == inputBytes && len(p.free) < 8:
		p.free = append(p.free, b[:n])
	case n > max(inputBytes, len(p.large)) && n <= largeInput:
		p.large = b[:n]
	}
}
