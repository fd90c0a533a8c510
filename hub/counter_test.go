package hub

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// A talk is what a counter is told, a word each: a number is a message, "n!" one of other content, "+s"
// time that passes, in seconds, "x-y" a span that is gone, "up" that it gives up. What comes of it is
// what is delivered, and in brackets what is lost.
func talk(c *counter, text string) string {
	var said []string
	now := int64(time.Hour)
	lost := func(s span) { said = append(said, fmt.Sprintf("(%d-%d)", s.from, s.to)) }
	drain := func() {
		for {
			m, ok := c.next(now, lost)
			if !ok {
				return
			}
			said = append(said, string(m.Data))
		}
	}
	for _, word := range strings.Fields(text) {
		var n, to uint64
		switch {
		case word == "up":
			c.giveUp()
		case word[0] == '+':
			fmt.Sscanf(word, "+%d", &n)
			now += int64(n) * int64(time.Second)
		case strings.Contains(word, "-"):
			fmt.Sscanf(word, "%d-%d", &n, &to)
			c.lose(span{n, to})
		default:
			fmt.Sscanf(word, "%d", &n)
			m := &inbound{Number: number{Stream: 1, Count: n}, Data: []byte(word)}
			if !c.begun && !c.entry.shared() {
				c.begin(n - 1)
			}
			if c.take(m, now, false) == takeIt {
				said = append(said, word)
			}
		}
		drain()
	}
	return strings.Join(said, " ")
}

// numbersOf are the numbers from one to another.
func numbersOf(from, to int) string {
	var words []string
	for n := from; n <= to; n++ {
		words = append(words, fmt.Sprint(n))
	}
	return strings.Join(words, " ")
}

func TestCountersSayWhatComes(t *testing.T) {
	for _, c := range []struct{ name, told, want string }{
		{"in order", "1 2 3", "1 2 3"},
		{"a late subscriber", "7 8 9", "7 8 9"},
		{"copies", "1 2 2 3 1 3", "1 2 3"},
		{"another content is no copy", "1 2 2! 3", "1 2 2! 3"},
		{"repeated on purpose", "1 2 3 +2 1 2 3", "1 2 3 1 2 3"},
		{"too early", "1 3 4 2 5", "1 2 3 4 5"},
		{"copies that come late, where many come",
			numbersOf(1, 300) + " 201 250 201!", numbersOf(1, 300) + " 201!"},
		{"the late original of what was sent again, while something is still missing",
			"1 22 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 2 21", "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22"},
		{"a copy of what waits", "1 3 3 2 4", "1 2 3 4"},
		{"another content with a number that waits", "1 3 3! 2", "1 2 3 3!"},
		{"gone", "1 4 2-3 5", "1 (2-3) 4 5"},
		{"gone in part", "1 5 2-3 4 6", "1 (2-3) 4 5 6"},
		{"gone, and then it comes", "1 4 2-3 2 5", "1 (2-3) 4 2 5"},
		{"given up", "1 3 6 up 7", "1 (2-2) 3 (4-5) 6 7"},
		{"given up after a number that somebody made up", "1 2 500 up 3 4 5", "1 2 (3-499) 500 3 4 5"},
		{"a jump is a new beginning", "1 2 99999999999 3 up 4 5", "1 2 3 99999999999 4 5"},
		{"a new count", "99999999999 +2 1 2 3", "99999999999 1 2 3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := talk(&counter{entry: &entry{key: entryKey{subject: "a"}}}, c.told); got != c.want {
				t.Errorf("%s: got %q, want %q", c.told, got, c.want)
			}
		})
	}
	t.Run("a member of a queue group", func(t *testing.T) {
		const told, want = "3 7 7 5 5 100 8 100 +2 100", "3 7 5 100 8 100"
		if got := talk(&counter{entry: &entry{key: entryKey{subject: "a", queue: "q"}}}, told); got != want {
			t.Errorf("%s: got %q, want %q", told, got, want)
		}
	})
}

func TestCountsAreWrittenAsTheyGoOn(t *testing.T) {
	s := &outStream{id: natswire.StreamOf(natswire.NewPublisher(), 1), digits: 1}
	s.line = natswire.AppendNumber([]byte(natswire.NumberLine), number{Stream: s.id, Count: 1})
	for range 300_000 {
		s.counted()
		text, ours := strings.CutPrefix(string(s.line), natswire.NumberLine)
		if n, ok := natswire.ParseNumber(text); !ours || !ok || n != (number{Stream: s.id, Count: s.count + 1}) {
			t.Fatalf("%q for %d", s.line, s.count+1)
		}
	}
}

// Logs are words: "a1" and "b1" are marks through the old and the new server, else it is a message.
func logOf(text string) (all []logged) {
	for _, word := range strings.Fields(text) {
		n := 0
		switch fmt.Sscanf(word[1:], "%d", &n); word[0] {
		case 'a':
			all = append(all, logged{mark: n})
		case 'b':
			all = append(all, logged{mark: -n})
		default:
			subject, print, _ := strings.Cut(word, "=")
			sum := uint64(0)
			for _, r := range print {
				sum = sum*31 + uint64(r) + 1
			}
			all = append(all, logged{print: sum, subject: uint64(subject[0])})
		}
	}
	return all
}

func TestCopiesAreToldByWhatStandsBesideThem(t *testing.T) {
	for _, c := range []struct {
		name, old, next string
		came            []bool
		expected        int
	}{
		{"all came", "x=1 x=2 a1", "x=2 a1", []bool{true}, 0},
		{"some came", "x=1 x=2 a1 x=3", "x=2 a1 x=3 x=4", []bool{true, true, false}, 0},
		{"the new link is behind", "x=1 x=2 a1 x=3 x=4", "x=2 a1", []bool{true}, 2},
		{"equal ones beside others", "x=s x=1 x=s x=2 x=s", "x=s x=2 x=s x=3 x=s", []bool{true, true, true, false, false}, 0},
		{"equal ones alone, through the old server", "x=s x=s a1 x=s a2 x=s", "x=s a1 x=s a2 x=s x=s", []bool{true, true, true, false}, 0},
		{"equal ones alone, through the new server", "x=s x=s x=s b1 x=s x=s", "b1 x=s x=s x=s", []bool{true, true, false}, 0},
		{"equal ones alone, begun after marks", "x=s a1 b2 x=s a3 x=s a5 x=s", "a1 b2 a3 x=s a5 b6 x=s x=s", []bool{true, true, false}, 0},
		{"a busy server hands a mark on late", "x=s x=s a1 b1 x=s x=s x=s a2 x=s a3 x=s a4", "a1 x=s a2 x=s x=s b1 x=s a3 x=s a4 x=s", []bool{true, true, true, true, true, false}, 0},
		{"by the new link only", "a1 x=1", "a1 y=1", []bool{false}, 1},
		{"several publishers in different orders", "x=1 x=7 x=2 x=8", "x=7 x=1 x=8 x=2 x=3", []bool{true, true, true, true, false}, 0},
		{"two publishers, one long after the other, in different orders", "x=1 x=2 x=3 x=7 x=8 a1", "x=7 x=8 x=1 x=2 x=3 x=4 a1", []bool{true, true, true, true, true, false}, 0},
		{"nothing by the old link", "a1 b1", "b1 a1 x=1", []bool{false}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			came, expected, perhaps := align(logOf(c.old), logOf(c.next))
			sum := 0
			for _, copies := range []map[uint64]int{expected, perhaps} {
				for _, n := range copies {
					sum += n
				}
			}
			if !slices.Equal(came, c.came) || sum != c.expected {
				t.Errorf("%s | %s: came %v and %d expected, want %v and %d", c.old, c.next, came, sum, c.came, c.expected)
			}
		})
	}
}
