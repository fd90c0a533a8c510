package hub

import (
	"hash/maphash"
	"slices"
	"time"
)

// Messages without numbers come twice around a change of links. Which those are is told by what they are.

// remembered is a message that was delivered.
type remembered struct {
	print uint64
	at    int64
}

// memory is for how long at least messages are remembered for a standby.
const memory = 500 * time.Millisecond

// fingerprint is the same for messages that cannot be told apart.
func (in *intake) fingerprint(m *inbound) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	maphash.WriteComparable(&h, m.sub().entry.serialNumber)
	h.WriteString(m.Subject)
	h.WriteByte(0)
	h.WriteString(m.Reply)
	h.WriteByte(0)
	h.Write(m.Data)
	sum := h.Sum64()
	for name, values := range m.Header { // in any order
		var h maphash.Hash
		h.SetSeed(in.seed)
		h.WriteString(name)
		for _, v := range values {
			h.WriteByte(0)
			h.WriteString(v)
		}
		sum += h.Sum64()
	}
	return sum
}

// subjectPrint is the same for messages on one subject to one entry.
func (in *intake) subjectPrint(m *inbound) uint64 {
	var h maphash.Hash
	h.SetSeed(in.seed)
	maphash.WriteComparable(&h, m.sub().entry.serialNumber)
	h.WriteString(m.Subject)
	return h.Sum64()
}

// expectedCopies are copies that are still to come, by their fingerprints, and until when they are waited for.
type expectedCopies struct {
	copies map[uint64]int
	until  int64
}

// copiesLate is for how long after a move copies come that a slow way between servers has held up. Another message
// that is like one of them is then taken for it, and the copy for that.
const copiesLate = 3 * time.Second

// expectCopies replaces what is expected.
func (in *intake) expectCopies(sure map[uint64]int, long time.Duration, possible map[uint64]int, short time.Duration) {
	in.expected = nil
	for _, d := range []expectedCopies{{possible, in.now() + int64(short)}, {sure, in.now() + int64(long)}} {
		if len(d.copies) > 0 {
			in.expected = append(in.expected, d)
		}
	}
}

// isExpectedCopy says that m is a copy of what came by another link.
func (in *intake) isExpectedCopy(m *inbound) bool {
	print := in.fingerprint(m)
	for i := 0; i < len(in.expected); i++ {
		d := in.expected[i]
		if len(d.copies) == 0 || in.now() > d.until {
			in.expected = slices.Delete(in.expected, i, i+1)
			i--
			continue
		}
		n := d.copies[print]
		if n > 1 {
			d.copies[print] = n - 1
		} else {
			delete(d.copies, print)
		}
		if n > 0 {
			return true
		}
	}
	if len(in.expected) == 0 {
		in.expected = nil
	}
	return false
}

// remember writes down that m, which has no number, is delivered.
func (in *intake) remember(m *inbound) {
	if len(in.late) > 0 && in.now()-in.late[0].at > int64(memory) {
		in.late, in.former = in.former[:0], in.late
	}
	in.late = append(in.late, remembered{in.fingerprint(m), in.now()})
}

// recall says that what was delivered within span before now, by a link that broke, is not delivered
// again if it comes within span.
func (in *intake) recall(span time.Duration) {
	in.lock()
	defer in.mu.Unlock()
	expected := map[uint64]int{}
	for _, all := range [][]remembered{in.former, in.late} {
		for _, r := range all {
			if r.at >= in.now()-int64(span) {
				expected[r.print]++
			}
		}
	}
	in.expectCopies(expected, span, nil, 0)
}
