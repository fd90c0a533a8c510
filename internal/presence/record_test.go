package presence

import (
	"math/rand/v2"
	"regexp"
	"strconv"
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

// recordMachine makes a machine that draws from rng.
func recordMachine(id string, rng *rand.Rand, records bool) *recorder {
	r := &recorder{records: records, next: -1}
	r.Machine = New(id, func(n time.Duration) time.Duration {
		drawn := time.Duration(rng.Int64N(int64(n)))
		if records {
			r.drawn = append(r.drawn, []time.Duration{n, drawn})
		}
		return drawn
	})
	return r
}

func (r *recorder) note(method string, result any, args ...any) {
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

var manyX = regexp.MustCompile("x{20,}")

// shown is text as it is written down: each byte is a character, and of many x it is said how many they are.
func shown(text []byte) string {
	characters := make([]rune, len(text))
	for i, b := range text {
		characters[i] = rune(b)
	}
	return manyX.ReplaceAllStringFunc(string(characters), func(x string) string { return "{x" + strconv.Itoa(len(x)) + "}" })
}

func shownAll(texts [][]byte) []string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = shown(text)
	}
	return all
}

func (r *recorder) Effects() []Effect {
	effects := r.Machine.Effects()
	if len(effects) > 0 && r.records {
		all := []any{}
		for _, e := range effects {
			all = append(all, []any{e.Kind, e.ID, shown(e.Data)})
		}
		r.note("effects", all)
	}
	return effects
}

func (r *recorder) Next() time.Duration {
	next := r.Machine.Next()
	if next != r.next && r.records {
		r.next = next
		r.note("next", next)
	}
	return next
}

func (r *recorder) Members(each func(id string, data []byte)) {
	all := []any{}
	r.Machine.Members(func(id string, data []byte) {
		all = append(all, []string{id, shown(data)})
		each(id, data)
	})
	if r.records {
		r.note("members", all)
	}
}

func (r *recorder) Join(now time.Duration, data []byte) {
	r.Machine.Join(now, data)
	if r.records {
		r.note("join", nil, now, shown(data))
	}
}

func (r *recorder) Leave(now time.Duration) {
	r.Machine.Leave(now)
	if r.records {
		r.note("leave", nil, now)
	}
}

func (r *recorder) Watch(now time.Duration) {
	r.Machine.Watch(now)
	if r.records {
		r.note("watch", nil, now)
	}
}

func (r *recorder) Unwatch() {
	r.Machine.Unwatch()
	if r.records {
		r.note("unwatch", nil)
	}
}

func (r *recorder) Online(now time.Duration) {
	r.Machine.Online(now)
	if r.records {
		r.note("linked", nil, now)
	}
}

func (r *recorder) Offline() {
	r.Machine.Offline()
	if r.records {
		r.note("unlinked", nil)
	}
}

func (r *recorder) Tick(now time.Duration) {
	r.Machine.Tick(now)
	if r.records {
		r.note("tick", nil, now)
	}
}

func (r *recorder) Heard(now time.Duration, text []byte) {
	r.Machine.Heard(now, text)
	if r.records {
		r.note("heard", nil, now, shown(text))
	}
}

func (r *recorder) HeardRoll(now time.Duration, text []byte) {
	r.Machine.HeardRoll(now, text)
	if r.records {
		r.note("heardRoll", nil, now, shown(text))
	}
}

func (r *recorder) Listed(now time.Duration, text []byte) bool {
	last := r.Machine.Listed(now, text)
	if r.records {
		r.note("listed", last, now, shown(text))
	}
	return last
}

func (r *recorder) Unanswered(now time.Duration) {
	r.Machine.Unanswered(now)
	if r.records {
		r.note("unanswered", nil, now)
	}
}

func (r *recorder) Asked() [][]byte {
	texts := r.Machine.Asked()
	if r.records {
		r.note("asked", shownAll(texts))
	}
	return texts
}

func (r *recorder) Knows() bool {
	knows := r.Machine.Knows()
	if r.records {
		r.note("knows", knows)
	}
	return knows
}
