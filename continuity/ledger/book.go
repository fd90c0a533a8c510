package ledger

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A Book has the streams that one receiver hears, by name. Its zero value is ready.
type Book struct {
	// Midway streams begin with whichever number comes first.
	Midway bool

	mu      sync.Mutex
	streams map[string]*Stream
	pace    pace
	foreign int
}

// Take counts a message. A payload that is neither a number nor Same counts as repeated: nobody
// has published it.
func (b *Book) Take(stream string, payload []byte) {
	now := time.Now()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.step(now)
	s := b.stream(stream)
	if string(payload) == Same {
		s.Same()
	} else if n, err := strconv.Atoi(string(payload)); err == nil {
		s.Number(n)
	} else {
		b.foreign++
	}
}

func (b *Book) stream(name string) *Stream {
	s := b.streams[name]
	if s == nil {
		if b.streams == nil {
			b.streams = map[string]*Stream{}
		}
		s = &Stream{Midway: b.Midway}
		b.streams[name] = s
	}
	return s
}

// Total is the sum of all streams.
func (b *Book) Total() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	total := Counts{Repeated: b.foreign}
	for _, s := range b.streams {
		total = total.Plus(s.Counts)
	}
	return total
}

// Defects sums up, for each publisher (the last part of a stream's name), the streams in which
// something was lost, repeated or reordered.
func (b *Book) Defects() (lines []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	streams, sums := map[string]int{}, map[string]Counts{}
	for name, s := range b.streams {
		if !s.Clean() {
			who := name[strings.LastIndexByte(name, '.')+1:]
			streams[who]++
			sums[who] = sums[who].Plus(s.Counts)
		}
	}
	for who, sum := range sums {
		lines = append(lines, fmt.Sprintf("in %d streams of %s: %d lost, %d repeated, %d out of order", streams[who], who, sum.Lost, sum.Repeated, sum.Reordered))
	}
	slices.Sort(lines)
	return lines
}

// End waits, as long as messages keep coming and for at most patience without one, until of
// each stream the given number of pairs has come, and counts what has not as lost.
func (b *Book) End(ctx context.Context, pairs map[string]int, patience time.Duration) {
	last, since := -1, time.Now()
	for ctx.Err() == nil {
		b.mu.Lock()
		complete, messages := true, 0
		for name, n := range pairs {
			s := b.stream(name)
			complete = complete && s.Has(n)
			messages += s.Messages
		}
		b.mu.Unlock()
		if messages != last {
			last, since = messages, time.Now()
		}
		if complete || time.Since(since) > patience {
			break
		}
		time.Sleep(2 * time.Millisecond)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for name, n := range pairs {
		b.stream(name).End(n)
	}
}

// Heard is how many streams have brought a message.
func (b *Book) Heard() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := 0
	for _, s := range b.streams {
		if s.Messages > 0 {
			n++
		}
	}
	return n
}

// Mark begins to look for the longest pause between two messages.
func (b *Book) Mark() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.pace.longest = 0
}

// Gap is the longest pause since Mark, or 0.
func (b *Book) Gap() time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pace.longest
}

// pace knows the longest pause between two steps.
type pace struct {
	last    time.Time
	longest time.Duration
}

func (p *pace) step(now time.Time) {
	if !p.last.IsZero() {
		p.longest = max(p.longest, now.Sub(p.last))
	}
	p.last = now
}
