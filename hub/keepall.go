//go:build !js

package hub

import (
	"cmp"
	"container/list"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/keep"
)

// KeepOptions say what a [Keeper] remembers.
type KeepOptions struct {
	// Patterns are the subjects whose values are remembered; * and > stand for one and for more parts. Default ">", which
	// lets the server send this hub everything.
	Patterns []string
	// MaxValues and MaxBytes, of subjects and values, bound what is remembered. Of more the one goes whose last change is
	// longest ago. Defaults 10,000 and 64 MiB.
	MaxValues, MaxBytes int
	// Changed, if set, is told each value that is new to the keeper, in the order of a subject's versions, and Evicted the
	// subject of each that it has to forget. Both are called one at a time, and messages wait for them.
	Changed func(KeptValue)
	Evicted func(subject string)
}

// A KeptValue is what was set last on a subject.
type KeptValue struct {
	Subject string
	Data    []byte
	Deleted bool
	Version string // as the header of the message has it: "<counter in hex>.<writer>", and "-" behind it if deleted
}

const (
	keptValues = 10_000
	keptBytes  = 64 << 20
)

// Validate says what is wrong with o; nil if nothing is.
func (o KeepOptions) Validate() error {
	if o.MaxValues < 0 {
		return fmt.Errorf("%w: MaxValues %d: want 0, for %d, or more", ErrInvalidConfig, o.MaxValues, keptValues)
	}
	if o.MaxBytes < 0 {
		return fmt.Errorf("%w: MaxBytes %d: want 0, for %d, or more", ErrInvalidConfig, o.MaxBytes, keptBytes)
	}
	for _, pattern := range o.Patterns {
		if err := checkName(pattern, true); err != nil {
			return err
		}
	}
	return nil
}

// A Keeper remembers every value that is set on subjects of its patterns, for who comes later: a value outlives the
// last program that knew it. It answers like any hub that knows the value, and takes part in making all the same.
type Keeper struct {
	h    *Hub
	opts KeepOptions
	subs []*Subscription

	calls sync.Mutex // held while one message is dealt with, and before mu

	mu      sync.Mutex
	kept    map[string]*list.Element // of *keptSize
	order   list.List                // the longest unchanged first
	bytes   int
	evicted uint64
	closed  bool
}

type keptSize struct {
	subject string
	bytes   int
}

// KeeperStatus is how much a keeper remembers.
type KeeperStatus struct {
	Values  int    // with those that were deleted, whose versions are remembered, too
	Bytes   int    // of subjects and values
	Evicted uint64 // how many it had to forget
}

// Keep makes the hub a keeper of what is set from now on, until the keeper is closed or the hub is. A hub that keeps should
// have no variables of its own.
func (h *Hub) Keep(o KeepOptions) (*Keeper, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("keep: %w", err)
	}
	if len(o.Patterns) == 0 {
		o.Patterns = []string{">"}
	}
	o.MaxValues, o.MaxBytes = cmp.Or(o.MaxValues, keptValues), cmp.Or(o.MaxBytes, keptBytes)
	k := &Keeper{h: h, opts: o, kept: map[string]*list.Element{}}
	k.opts.Patterns = slices.Clone(o.Patterns)
	h.keeping()
	for _, pattern := range k.opts.Patterns {
		sub, err := h.Subscribe(pattern, SubOptions{Arrival: true}, k.heard)
		if err != nil {
			k.Close()
			return nil, fmt.Errorf("keep: %w", err)
		}
		k.subs = append(k.subs, sub)
	}
	return k, nil
}

// Ready returns when the server has confirmed that it sends the keeper what is set.
func (k *Keeper) Ready(ctx context.Context) error {
	for _, sub := range k.subs {
		if err := sub.Ready(ctx); err != nil {
			return err
		}
	}
	return nil
}

// Restore gives the keeper what it, or another, has remembered before. A value that is older than what it knows changes
// nothing. Changed is not called.
func (k *Keeper) Restore(v KeptValue) error {
	stamp, ok := keep.ParseStamp(v.Version)
	if !ok || stamp.Counter == 0 || stamp.Deleted != v.Deleted {
		return fmt.Errorf("%w: the version %q of %s: want one as a Kset header has it, such as 1c.4tZqP0a", ErrInvalidValue, v.Version, v.Subject)
	}
	if err := checkName(v.Subject, false); err != nil {
		return err
	}
	k.calls.Lock()
	defer k.calls.Unlock()
	k.hold(v.Subject, stamp, v.Data)
	return nil
}

// heard takes a message.
func (k *Keeper) heard(m *Message) {
	if m.stamp == nil || strings.HasPrefix(m.Subject, "_") || strings.HasPrefix(m.Subject, "$") {
		return // inboxes and subjects of servers and hubs: answers to questions for values have a version, too
	}
	k.calls.Lock()
	defer k.calls.Unlock()
	if k.hold(m.Subject, *m.stamp, m.Data) && k.opts.Changed != nil {
		s := *m.stamp
		s.Again = false
		k.opts.Changed(KeptValue{Subject: m.Subject, Data: slices.Clone(m.Data), Deleted: s.Deleted, Version: s.String()})
	}
}

// hold remembers a value, and says whether it is news. k.calls is held.
func (k *Keeper) hold(subject string, s keep.Stamp, data []byte) (news bool) {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return false
	}
	all := k.h.keeping()
	all.do(func(m *keep.Machine, now time.Duration) { news = m.Hold(now, subject, s, data) == keep.Newer })
	var gone []string
	if news {
		gone = k.count(subject, len(subject)+len(data))
	}
	k.mu.Unlock()
	for _, subject := range gone {
		all.unfollow(subject)
		if k.opts.Evicted != nil {
			k.opts.Evicted(subject)
		}
	}
	return news
}

// count notes how large a value is that has changed, and returns what has to go for it. k.mu is held.
func (k *Keeper) count(subject string, bytes int) (gone []string) {
	e := k.kept[subject]
	if e == nil {
		e = k.order.PushBack(&keptSize{subject: subject})
		k.kept[subject] = e
	}
	k.order.MoveToBack(e)
	size := e.Value.(*keptSize)
	k.bytes += bytes - size.bytes
	size.bytes = bytes
	for (len(k.kept) > k.opts.MaxValues || k.bytes > k.opts.MaxBytes) && k.order.Len() > 0 {
		oldest := k.order.Remove(k.order.Front()).(*keptSize)
		delete(k.kept, oldest.subject)
		k.bytes -= oldest.bytes
		k.evicted++
		gone = append(gone, oldest.subject)
	}
	return gone
}

// Status says how much is remembered.
func (k *Keeper) Status() KeeperStatus {
	k.mu.Lock()
	defer k.mu.Unlock()
	return KeeperStatus{Values: len(k.kept), Bytes: k.bytes, Evicted: k.evicted}
}

// Close forgets everything.
func (k *Keeper) Close() {
	for _, sub := range k.subs {
		_ = sub.Unsubscribe() // it has no error
	}
	k.mu.Lock()
	all := k.kept
	k.kept, k.bytes, k.closed = map[string]*list.Element{}, 0, true
	k.order.Init()
	k.mu.Unlock()
	for subject := range all {
		k.h.keeping().unfollow(subject)
	}
}
