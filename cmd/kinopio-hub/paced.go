package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"
)

// errReaderGone ends a command whose output nobody reads any more, such as one before «head».
var errReaderGone = errors.New("nobody reads the output any more")

// pacedQueue is how many writes wait for the reader.
const pacedQueue = 16

// paced hands what is printed on to w, at w's pace: nothing is left out, and whoever prints waits. When ctx, which ends with
// outer, has ended, nobody waits any more; when w takes nothing any more, that ends ctx.
type paced struct {
	outer   context.Context // the program's
	ctx     context.Context
	waiting chan []byte
	done    chan struct{}
	close   func()

	mu     sync.RWMutex
	closed bool
}

func newPaced(outer, ctx context.Context, end context.CancelCauseFunc, w io.Writer) *paced {
	p := &paced{outer: outer, ctx: ctx, waiting: make(chan []byte, pacedQueue), done: make(chan struct{})}
	go func() {
		defer close(p.done)
		for b := range p.waiting {
			if _, err := w.Write(b); err != nil {
				end(errReaderGone)
				for range p.waiting {
				}
			}
		}
	}()
	p.close = sync.OnceFunc(p.finish)
	return p
}

// Write takes all of b, or fails when the command ends.
func (p *paced) Write(b []byte) (int, error) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		return 0, io.ErrClosedPipe
	}
	if p.ctx.Err() != nil {
		return 0, context.Cause(p.ctx)
	}
	select {
	case p.waiting <- append([]byte(nil), b...):
		return len(b), nil
	case <-p.ctx.Done():
		return 0, context.Cause(p.ctx)
	}
}

// last writes b also when ctx has ended, unless the reader takes nothing.
func (p *paced) last(b []byte) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed || len(b) == 0 {
		return nil
	}
	select {
	case p.waiting <- append([]byte(nil), b...):
		return nil
	case <-time.After(outputEnd):
		return errReaderGone
	}
}

// finish waits until the reader has what was written: as long as it takes, unless the program is to end. Whoever prints has
// ended, or ctx has.
func (p *paced) finish() {
	p.mu.Lock()
	p.closed = true
	close(p.waiting)
	p.mu.Unlock()
	select {
	case <-p.done:
		return
	case <-p.outer.Done():
	}
	select {
	case <-p.done:
	case <-time.After(outputEnd):
	}
}
