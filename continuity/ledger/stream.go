// Package ledger counts exactly what was lost, repeated or reordered of streams and requests.
//
// A stream is published as pairs: its number 0, 1, 2, … in decimal, and then the payload
// [Same], which is byte-identical in all pairs: so half of the messages can be told apart by
// nothing but their place between numbers.
package ledger

// Same is the payload of every second message.
const Same = "same"

// Counts is what became of messages. A message that came late counts as reordered, and not
// as lost any more.
type Counts struct {
	Messages  int `json:"messages"`
	Lost      int `json:"lost"`
	Repeated  int `json:"repeated"`
	Reordered int `json:"reordered"`
}

// Minus is what was counted since an earlier moment.
func (c Counts) Minus(before Counts) Counts {
	return Counts{c.Messages - before.Messages, c.Lost - before.Lost, c.Repeated - before.Repeated, c.Reordered - before.Reordered}
}

// Plus is the sum of both.
func (c Counts) Plus(other Counts) Counts {
	return Counts{c.Messages + other.Messages, c.Lost + other.Lost, c.Repeated + other.Repeated, c.Reordered + other.Reordered}
}

// Clean says that nothing was lost, repeated or reordered.
func (c Counts) Clean() bool { return c.Lost == 0 && c.Repeated == 0 && c.Reordered == 0 }

// A Stream is what one receiver hears of one publisher on one subject. Its zero value expects
// the number 0 first.
type Stream struct {
	Counts
	// Midway begins with whichever number comes first.
	Midway bool

	next             int          // the number that is due
	sames            int          // identical messages since the last number
	surplus, deficit int          // of them before the last number: two that cancel out have changed places
	missing          map[int]bool // numbers that were skipped
}

// Number takes the message n.
func (s *Stream) Number(n int) {
	s.Messages++
	switch {
	case s.Midway:
		s.Midway, s.next, s.sames = false, n+1, 0
		return
	case n < s.next && s.missing[n]:
		delete(s.missing, n)
		s.Lost--
		s.Reordered++
		return
	case n < s.next:
		s.Repeated++
		return
	}
	s.skipTo(n)
	s.next, s.sames = n+1, 0
}

// Same takes one of the identical messages.
func (s *Stream) Same() {
	s.Messages++
	s.sames++
}

// Has says whether all of the first pairs have come, or as many messages.
func (s *Stream) Has(pairs int) bool {
	return s.next > pairs || s.next == pairs && (pairs == 0 || s.sames > 0)
}

// End says that the publisher has published so many pairs so far: what of them has not come
// is lost. The stream may go on.
func (s *Stream) End(pairs int) {
	if s.Midway || s.next > pairs {
		return
	}
	s.skipTo(pairs)
	s.next, s.sames = pairs, 1 // as if the last of them had come
	if pairs == 0 {
		s.sames = 0
	}
}

// skipTo settles what should have come before the number n.
func (s *Stream) skipTo(n int) {
	for k := s.next; k < n; k++ {
		if s.missing == nil {
			s.missing = map[int]bool{}
		}
		s.missing[k] = true
		s.Lost++
	}
	// Between two numbers there is exactly one identical message.
	want := n - s.next
	if s.next > 0 {
		want++
	}
	switch less := want - s.sames; {
	case less > 0:
		swapped := min(less, s.surplus)
		s.Repeated -= swapped
		s.Reordered += swapped
		s.Lost += less - swapped
		s.surplus, s.deficit = 0, less-swapped
	case less < 0:
		swapped := min(-less, s.deficit)
		s.Lost -= swapped
		s.Reordered += swapped
		s.Repeated += -less - swapped
		s.surplus, s.deficit = -less-swapped, 0
	default:
		s.surplus, s.deficit = 0, 0
	}
}
