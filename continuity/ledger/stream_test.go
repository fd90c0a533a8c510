package ledger

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// A streamCase is one of testdata/streams.json, which the page's counter is tried with, too.
type streamCase struct {
	Name, Stream              string
	Pairs                     int
	Lost, Repeated, Reordered int
}

func streamCases(t *testing.T) (cases []streamCase) {
	t.Helper()
	data, err := os.ReadFile("testdata/streams.json")
	if err == nil {
		err = json.Unmarshal(data, &cases)
	}
	if err != nil || len(cases) == 0 {
		t.Fatalf("testdata/streams.json: %d cases, %v", len(cases), err)
	}
	return cases
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
	for _, c := range streamCases(t) {
		s := &Stream{}
		play(s, c.Stream)
		s.End(c.Pairs)
		if s.Lost != c.Lost || s.Repeated != c.Repeated || s.Reordered != c.Reordered {
			t.Errorf("%s (%s): %+v, want lost %d, repeated %d, reordered %d", c.Name, c.Stream, s.Counts, c.Lost, c.Repeated, c.Reordered)
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
