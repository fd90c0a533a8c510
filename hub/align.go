package hub

import "slices"

// While a hub listens on two links, messages without numbers come by both, and nothing in one says
// which of several equal ones it is. What tells is what stands beside them: one publisher's messages on a
// subject have one order, by both links; and marks, messages that the hub sends to itself, by turns
// through each server, and hears on both links: what was published through the old server stands, on both
// links, on the same side of a mark that went through the old server, and likewise for the new one.

// A logged is a message, by its fingerprint and that of its subject, or a mark that came by a link.
type logged struct {
	print, subject uint64
	mark           int // from 1 on: through the old server; from -1 down: through the new one; 0: a message
}

// align says which of the messages that came by the new link have come by the old one already, one bool
// each, and how many copies of which messages are still to come by the new one, and how many may be: where
// several have published on one subject. old and next are all that came by the two links lately, in order;
// old has ended.
func align(old, next []logged) (came []bool, expected, possible map[uint64]int) {
	expected, possible = map[uint64]int{}, map[uint64]int{}
	o, n := bySubject(old), bySubject(next)
	for _, e := range next {
		if e.mark == 0 {
			came = append(came, false)
		}
	}
	for subject, by := range n {
		was := o[subject]
		if was == nil {
			continue // by the new link only
		}
		if shift, ok := by.shift(was); ok {
			known := len(was.prints) - shift // of the first by the new link
			for i := range min(max(known, 0), len(by.prints)) {
				came[by.at[i]] = true
			}
			for _, print := range was.prints[min(max(shift+len(by.prints), 0), len(was.prints)):] {
				expected[print]++
			}
			continue
		}
		by.count(was, came, possible)
	}
	for subject, was := range o {
		if n[subject] != nil {
			continue
		}
		// What came by the old link only did so before the new one had its subscriptions, or is on its
		// way: through the old server, it was published after all marks that have come.
		from := len(was.prints)
		for mark, place := range was.marks {
			if mark > 0 && commonMark(next, mark) {
				from = min(from, place)
			}
		}
		for _, print := range was.prints[from:] {
			expected[print]++
		}
	}
	return came, expected, possible
}

func commonMark(log []logged, mark int) bool {
	return slices.ContainsFunc(log, func(e logged) bool { return e.mark == mark })
}

// A sequence is what came on one subject by one link.
type sequence struct {
	prints []uint64
	at     []int       // which message of all it is
	marks  map[int]int // how many came before a mark
}

func bySubject(log []logged) map[uint64]*sequence {
	all := map[uint64]*sequence{}
	message := 0
	for _, e := range log {
		if e.mark != 0 {
			continue
		}
		s := all[e.subject]
		if s == nil {
			s = &sequence{marks: map[int]int{}}
			all[e.subject] = s
		}
		s.prints = append(s.prints, e.print)
		s.at = append(s.at, message)
		message++
	}
	so := map[uint64]int{}
	for _, e := range log {
		if e.mark == 0 {
			so[e.subject]++
			continue
		}
		for subject, s := range all {
			s.marks[e.mark] = so[subject]
		}
	}
	return all
}

// shift is the place in was of the first message of by, if the two are one sequence. Of several
// possibilities it is the one that messages which are like no other tell, and else the marks.
func (by *sequence) shift(was *sequence) (shift int, ok bool) {
	shift, known, agree := by.anchor(was)
	if known {
		return shift, agree && shift >= 0 && by.fits(was, shift) // else several publishers, in different orders
	}
	for _, candidate := range by.markShifts(was) {
		if by.fits(was, candidate) {
			return candidate, true
		}
	}
	return 0, false
}

// fits says that by, from place shift of was on, is the same.
func (by *sequence) fits(was *sequence, shift int) bool {
	if shift >= len(was.prints) {
		return true
	}
	n := min(len(by.prints), len(was.prints)-shift)
	return slices.Equal(by.prints[:n], was.prints[shift:shift+n])
}

// anchor is the shift that messages tell which are there once by each link, and whether all of them do.
func (by *sequence) anchor(was *sequence) (shift int, known, agree bool) {
	once := map[uint64]int{} // place, or -1 for several
	for i, print := range was.prints {
		if _, found := once[print]; found {
			once[print] = -1
		} else {
			once[print] = i
		}
	}
	seen := map[uint64]int{}
	for _, print := range by.prints {
		seen[print]++
	}
	for i, print := range by.prints {
		if at, found := once[print]; found && at >= 0 && seen[print] == 1 {
			if known && at-i != shift {
				return shift, true, false
			}
			shift, known = at-i, true
		}
	}
	return shift, known, known
}

// markShifts are the shifts that marks tell, the one that most of them tell first. A server that is busy
// hands a mark to the one link a while before the other, so a mark by itself may be wrong; and those that
// did not go through the publisher's server tell nothing in common.
func (by *sequence) markShifts(was *sequence) []int {
	votes := map[int]int{}
	least := 0
	exact := false
	for mark, place := range by.marks {
		at, both := was.marks[mark]
		if both && place == 0 {
			least = max(least, at)
		}
		if both && place > 0 {
			exact = true
			if at >= place {
				votes[at-place] += 2
				if mark > 0 {
					votes[at-place]++ // most publish through the old server
				}
			}
		}
	}
	var shifts []int
	for shift := range votes {
		i := len(shifts)
		for i > 0 && (votes[shift] > votes[shifts[i-1]] || votes[shift] == votes[shifts[i-1]] && shift > shifts[i-1]) {
			i-- // of two as likely ones the greater: rather twice than not at all
		}
		shifts = slices.Insert(shifts, i, shift)
	}
	if !exact {
		shifts = append(shifts, least)
	}
	return shifts
}

// since is the place in was before which nothing can be that by has as well, whichever server it came through.
func (by *sequence) since(was *sequence) int {
	least := map[bool]int{} // by the way of marks
	for mark, place := range by.marks {
		if at, both := was.marks[mark]; both && place == 0 {
			least[mark > 0] = max(least[mark > 0], at)
		}
	}
	return min(least[true], least[false])
}

// count is for what several publish on one subject: equal messages are counted.
func (by *sequence) count(was *sequence, came []bool, possible map[uint64]int) {
	times := map[uint64]int{}
	since := by.since(was)
	for _, print := range was.prints[since:] {
		times[print]++
	}
	for i, print := range by.prints {
		if times[print] > 0 {
			times[print]--
			came[by.at[i]] = true
		}
	}
	// What is among the last by the old link, and has not come by the new one, may be on its way.
	for _, print := range was.prints[max(since, len(was.prints)-len(by.prints)):] {
		if times[print] > 0 {
			times[print]--
			possible[print]++
		}
	}
}
