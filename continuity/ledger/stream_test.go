package ledger

import (
	"strings"
	"testing"
)

// cases are also what the page's counter is tried with.
var cases = []struct {
	name, stream              string
	pairs                     int
	lost, repeated, reordered int
}{
	{"all there", "0 = 1 = 2 =", 3, 0, 0, 0},
	{"a number lost", "0 = = 2 =", 3, 1, 0, 0},
	{"the first number lost", "= 1 = 2 =", 3, 1, 0, 0},
	{"one of the alike lost", "0 = 1 2 =", 3, 1, 0, 0},
	{"both lost", "0 = 2 =", 3, 2, 0, 0},
	{"a hundred lost", "0 = 51 =", 52, 100, 0, 0},
	{"the last number lost", "0 = 1 = =", 3, 1, 0, 0},
	{"the last of the alike lost", "0 = 1 = 2", 3, 1, 0, 0},
	{"the end lost", "0 = 1 =", 3, 2, 0, 0},
	{"everything lost", "", 3, 6, 0, 0},
	{"a number repeated", "0 = 1 1 = 2 =", 3, 0, 1, 0},
	{"an old number repeated", "0 = 1 = 2 = 0", 3, 0, 1, 0},
	{"one of the alike repeated", "0 = = 1 = 2 =", 3, 0, 1, 0},
	{"the last of the alike repeated", "0 = 1 = 2 = =", 3, 0, 1, 0},
	{"two numbers changed places", "0 = 2 1 = = 3 =", 4, 0, 0, 2},
	{"an alike one came late", "0 1 = = 2 =", 3, 0, 0, 1},
	{"an alike one came early", "0 = = 1 2 =", 3, 0, 0, 1},
}

func play(s *Stream, stream string) {
	for _, word := range strings.Fields(stream) {
		if word == "=" {
			s.Same()
			continue
		}
		n := 0
		for _, digit := range word {
			n = 10*n + int(digit-'0')
		}
		s.Number(n)
	}
}

func TestStreamSeesEveryLossRepetitionAndInversion(t *testing.T) {
	for _, c := range cases {
		s := &Stream{}
		play(s, c.stream)
		s.End(c.pairs)
		if s.Lost != c.lost || s.Repeated != c.repeated || s.Reordered != c.reordered {
			t.Errorf("%s (%s): %+v, want lost %d, repeated %d, reordered %d", c.name, c.stream, s.Counts, c.lost, c.repeated, c.reordered)
		}
	}
}

func TestStreamGoesOnAfterItsEnd(t *testing.T) {
	s := &Stream{}
	play(s, "0 = 1 =")
	s.End(2)
	play(s, "2 = 3 =")
	s.End(4)
	if !s.Clean() || s.Messages != 8 {
		t.Errorf("%+v, want 8 messages and no defect", s.Counts)
	}
	play(s, "5 =")
	if s.Lost != 2 {
		t.Errorf("%+v, want 2 lost", s.Counts)
	}
}

func TestMidwayStreamForgivesOnlyItsBeginning(t *testing.T) {
	s := &Stream{Midway: true}
	play(s, "= 7 = 8 =")
	if !s.Clean() {
		t.Errorf("%+v, want no defect", s.Counts)
	}
	play(s, "10 =")
	if s.Lost != 2 {
		t.Errorf("%+v, want 2 lost", s.Counts)
	}
}

func TestCallsSeeRepetitionsAndInversions(t *testing.T) {
	var c Calls
	for _, n := range []int{0, 1, 3, 2, 3, 70} {
		c.Take("a", n)
	}
	c.Take("b", 1)
	if got, want := c.Total(), (Counts{Messages: 7, Repeated: 1, Reordered: 1}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
}
