package keep

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// A recorder is a machine whose life may be written down, so that another implementation can live the same.
type recorder struct {
	*Machine
	records bool
	life    []lifeStep
	next    time.Duration
	drawn   []any
}

// A lifeStep is one call: the method, its arguments, what was drawn at random, and what came of it.
type lifeStep [4]any

// record makes a machine that draws from rng.
func record(rng *rand.Rand, records bool, atOnce int) *recorder {
	r := &recorder{records: records, next: -1}
	name := func() string {
		text := fmt.Sprintf("%07d", rng.IntN(10_000_000))
		if records {
			r.drawn = append(r.drawn, text)
		}
		return text
	}
	r.Machine = New(name, func(n time.Duration) time.Duration {
		drawn := time.Duration(rng.Int64N(int64(n)))
		switch {
		case !records:
		case n == 1<<20: // most are
			r.drawn = append(r.drawn, drawn)
		default:
			r.drawn = append(r.drawn, []time.Duration{n, drawn})
		}
		return drawn
	}, name)
	r.atOnce = atOnce
	return r
}

func (r *recorder) note(method string, result any, args ...any) {
	if r.records {
		drawn := r.drawn
		if drawn == nil {
			drawn = []any{}
		}
		if args == nil {
			args = []any{}
		}
		r.life = append(r.life, lifeStep{method, args, drawn, result})
		r.drawn = nil
	}
}

// shown is data as it is written down: of many x only how many they are.
func shown(data []byte) any {
	if len(data) > 100 && strings.Count(string(data), "x") == len(data) {
		return len(data)
	}
	return string(data)
}

func (r *recorder) Effects() []Effect {
	effects := r.Machine.Effects()
	if len(effects) > 0 {
		all := []any{}
		for _, e := range effects {
			all = append(all, []any{e.Kind, e.Name, e.Stamp.String(), shown(e.Data), e.ID})
		}
		r.note("effects", all)
	}
	return effects
}

func (r *recorder) Next() time.Duration {
	next := r.Machine.Next()
	if next != r.next {
		r.next = next
		r.note("next", next)
	}
	return next
}

func (r *recorder) Follow(now time.Duration, name string) {
	r.Machine.Follow(now, name)
	r.note("follow", nil, now, name)
}

func (r *recorder) Unfollow(name string) {
	r.Machine.Unfollow(name)
	r.note("unfollow", nil, name)
}

func (r *recorder) Online(now time.Duration) {
	r.Machine.Online(now)
	r.note("online", nil, now)
}

func (r *recorder) Offline() {
	r.Machine.Offline()
	r.note("offline", nil)
}

func (r *recorder) Tick(now time.Duration) {
	r.Machine.Tick(now)
	r.note("tick", nil, now)
}

func (r *recorder) Set(now time.Duration, name string, data []byte, deleted bool, id uint64) {
	r.Machine.Set(now, name, data, deleted, id)
	r.note("set", nil, now, name, shown(data), deleted, id)
}

func (r *recorder) Refused(now time.Duration, name string, mute bool) {
	r.Machine.Refused(now, name, mute)
	r.note("refused", nil, now, name, mute)
}

func (r *recorder) Exhausted(name string) bool {
	exhausted := r.Machine.Exhausted(name)
	r.note("exhausted", exhausted, name)
	return exhausted
}

func (r *recorder) Waiting(name string) uint64 {
	id := r.Machine.Waiting(name)
	r.note("waiting", id, name)
	return id
}

func (r *recorder) Heard(now time.Duration, name string, s Stamp, data []byte) Verdict {
	verdict := r.Machine.Heard(now, name, s, data)
	r.note("heard", verdict, now, name, s.String(), shown(data))
	return verdict
}

func (r *recorder) HeardOffer(now time.Duration, text string) {
	r.Machine.HeardOffer(now, text)
	r.note("heardOffer", nil, now, text)
}

func (r *recorder) HeardBeat(now time.Duration, text string) {
	r.Machine.HeardBeat(now, text)
	r.note("heardBeat", nil, now, text)
}

func (r *recorder) Answered(now time.Duration, name string, s Stamp, data []byte) {
	r.Machine.Answered(now, name, s, data)
	r.note("answered", nil, now, name, s.String(), shown(data))
}

func (r *recorder) Unanswered(now time.Duration, name string) {
	r.Machine.Unanswered(now, name)
	r.note("unanswered", nil, now, name)
}

func (r *recorder) Asked(name string) (s Stamp, data []byte, ok bool) {
	s, data, ok = r.Machine.Asked(name)
	if ok {
		r.note("asked", []any{s.String(), shown(data)}, name)
	} else {
		r.note("asked", nil, name)
	}
	return s, data, ok
}
