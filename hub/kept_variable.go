package hub

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/keep"
)

// What a variable has beside its value.
type keptValue struct {
	follows bool          // the hub knows its value, or asks for it
	known   chan struct{} // closed when it is known whether there is a value; nil: nobody has asked
	isKnown bool
	untold  bool // that it is known
	bare    bool // the value is a message's that was published, and not set
	stamp   keep.Stamp
	waits   int  // values that were set here and are still to be sent
	unsure  bool // the value was set, and is still to be confirmed, as it has not been followed for a while
}

// Meta says what a value is.
type Meta struct {
	// Exists says whether there is a value: it is false before the first, and after Delete.
	Exists bool
	// Known says that it is known whether there is one.
	Known bool
	// Counter and Writer are the version of the value that was set last: of two the one with the higher counter is
	// the later one, and of two with the same counter the one whose writer is greater, byte by byte. They are 0 and "" when
	// nobody has set it, as far as is known.
	Counter uint64
	Writer  string
	// Pending says that what this hub has set is still to be sent.
	Pending bool
}

// Meta is what v's value is. Like [Variable.Value] it makes the hub follow v.
func (v *Variable) Meta() Meta {
	v.read()
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.meta()
}

// meta is Meta with v.mu held.
func (v *Variable) meta() Meta {
	now := v.rule.now()
	return Meta{
		Exists: now.known, Known: v.kept.isKnown || now.known,
		Counter: v.kept.stamp.Counter, Writer: v.kept.stamp.Writer, Pending: v.kept.waits > 0,
	}
}

// Set makes value the value of v: everybody who follows v has it, and so has who comes later, as long as a hub that
// follows v, or a keeper, lives. Who sets last wins, at all hubs the same one. Others hear it as a message on v. The
// value is this hub's at once, also without a connection: then the latest waits until there is one, however
// long that takes, and whatever becomes of the call. Set returns when a link has it; when ctx ends before, or
// after Config.Timeout if ctx has no deadline, with an ErrTimeout or ErrDisconnected that says so.
func (v *Variable) Set(ctx context.Context, value any) error {
	if v.err != nil {
		return v.err
	}
	data, err := v.hub.encode(value)
	if err != nil {
		return fmt.Errorf("set %s: %w", v.subject, err)
	}
	return v.setBytes(ctx, data, false)
}

// Delete takes the value of v away, for everybody, as Set sets one. Others hear an empty message.
func (v *Variable) Delete(ctx context.Context) error {
	if v.err != nil {
		return v.err
	}
	return v.setBytes(ctx, nil, true)
}

func (v *Variable) setBytes(ctx context.Context, data []byte, deleted bool) error {
	if v.noPub != nil {
		return v.noPub
	}
	h := v.hub
	if err := h.checkSet(v.subject, data); err != nil {
		return fmt.Errorf("set %w", err)
	}
	data = append([]byte(nil), data...)
	done := make(chan error, 1)
	if deleted {
		v.read() // others are told of it for a while
	}
	v.mu.Lock()
	beforeUses := v.uses
	v.uses.set = !deleted
	v.uses.mentioned, v.uses.lingers, v.uses.released = false, false, false
	v.follow()
	v.notice()
	var id uint64
	booked, err := h.keeping().book(v.subject, len(data), func(err error) {
		v.change(func(r *valueRule) {
			v.kept.waits--
			if err != nil {
				r.failed(id)
				v.kept.stamp = keep.Stamp{}
			} else {
				r.went(id)
			}
			v.follow()
			v.forget()
		})
		done <- err
	})
	if err != nil {
		v.uses = beforeUses
		v.used(false)
		v.mu.Unlock()
		return err
	}
	before := v.rule.now()
	id = v.rule.set(payload{data, !deleted}, v.echoes())
	v.kept.waits++
	v.kept.bare = false
	v.lent = true
	v.fresh()
	v.knows()
	h.keeping().set(v.subject, data, deleted, booked)
	v.notifyWatchers(before)
	v.mu.Unlock()
	return h.awaitSet(ctx, v.subject, done)
}

// checkSet refuses what no server would take.
func (h *Hub) checkSet(subject string, data []byte) error {
	m := []OutMsg{{Subject: subject, Header: Header{headerSet: {longestStamp}}, Data: data, number: number{Stream: 1}}}
	err := h.checkLength(subject, 0)
	h.mu.Lock()
	l := h.live
	h.mu.Unlock()
	if err == nil && l != nil {
		err = tooLarge(l, m)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", subject, err)
	}
	return nil
}

const longestStamp = "1fffffffffffff.zzzzzzz-+"

var errWaitsOn = errors.New("the value waits on, and is sent when there is a connection")

// awaitSet waits until a value that was set has gone.
func (h *Hub) awaitSet(ctx context.Context, subject string, done <-chan error) error {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.cfg.Timeout)
		defer cancel()
	}
	start := time.Now()
	select {
	case err := <-done:
		if err != nil {
			err = fmt.Errorf("set %s: %w", subject, err)
		}
		return err
	case <-h.ctx.Done():
		return ErrDisposed
	case <-ctx.Done():
		return fmt.Errorf("set %s: %w: %w", subject, ctxError(ctx, ErrDisconnected, start), errWaitsOn)
	}
}

// echoes says whether the hub hears what it sends on v. v.mu is held.
func (v *Variable) echoes() bool {
	return v.tracking != nil && !v.tracking.entry.deaf.Load() && !v.hub.cfg.NoEcho
}

// knows notes that it is known whether there is a value. v.mu is held.
func (v *Variable) knows() {
	if !v.kept.isKnown {
		v.kept.isKnown, v.kept.untold = true, true
		if v.kept.known != nil {
			close(v.kept.known)
		}
	}
}

// tellAbsent tells those who want to know it that there is no value, if that has just become known. v.mu is held.
func (v *Variable) tellAbsent(before payload) {
	if !v.kept.untold {
		return
	}
	v.kept.untold = false
	if before.known || v.rule.now().known {
		return // all are told, as it changes
	}
	v.tell(payload{}, true)
}

// learned takes what an answer says of the value.
func (v *Variable) learned(c keptChange) {
	v.change(func(r *valueRule) {
		v.knows()
		if v.kept.unsure && c.stamp.Counter == 0 && !c.refused {
			r.place(payload{}) // nobody keeps it any more
			v.fresh()
		}
		// What has been heard meanwhile may be newer: this comes by another goroutine.
		if v.kept.stamp.Version.Before(c.stamp.Version) {
			v.kept.stamp = c.stamp
			if !v.kept.bare && !c.own {
				r.place(payload{c.data, !c.stamp.Deleted})
			}
			v.fresh()
		}
	})
}

// heardSet takes a set value that has come.
func (v *Variable) heardSet(m *Message) {
	p := payload{m.Data, !m.stamp.Deleted}
	v.change(func(r *valueRule) {
		v.fresh()
		switch m.verdict {
		case keep.Newer:
			v.kept.stamp, v.kept.bare = *m.stamp, false
			v.knows()
			r.place(p)
		case keep.Unknown:
			r.place(p)
		case keep.Same:
			v.kept.stamp = *m.stamp
			if !m.stamp.Again && r.echoed(p) {
				v.fence()
			}
		}
	})
}
