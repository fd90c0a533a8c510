package main

import (
	"io"
	"strings"
	"sync"
	"time"
	"unicode"
)

const (
	outputQueue = 256                    // Writes that wait for a reader.
	outputEnd   = 500 * time.Millisecond // For a slow reader, at the end.
)

// output hands what is printed on to w, and waits for nobody: a reader that is slow or has
// gone (less, jq, a journal that restarts) neither holds a leaf up nor ends it. What it does
// not take in time is left out.
type output struct {
	w       io.Writer
	waiting chan []byte
	done    chan struct{}
	close   func()

	mu     sync.Mutex
	closed bool
}

func newOutput(w io.Writer) *output {
	o := &output{w: w, waiting: make(chan []byte, outputQueue), done: make(chan struct{})}
	go func() {
		defer close(o.done)
		for p := range o.waiting {
			if _, err := w.Write(p); err != nil {
				for range o.waiting { // The reader has gone.
				}
			}
		}
	}()
	o.close = sync.OnceFunc(func() {
		o.mu.Lock()
		o.closed = true
		close(o.waiting)
		o.mu.Unlock()
		select {
		case <-o.done:
		case <-time.After(outputEnd):
		}
	})
	return o
}

// Write never fails: nobody is there to be told.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		select {
		case o.waiting <- append([]byte(nil), p...):
		default:
		}
	}
	return len(p), nil
}

// plain is text of others for a terminal, which obeys control characters.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsGraphic(r) {
			return r
		}
		return '\uFFFD'
	}, text)
}
