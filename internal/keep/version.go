// Package keep decides what the present value of a name is, who is asked for it, and how everybody comes to the
// same one. It is pure: messages, connections and the time are given to it, and it says what is to be sent. No
// goroutine, no lock, no clock is in it, so that it is simulated from seeds.
package keep

import "strconv"

// A Version says which of two values of a name is the later one: by its counter first, then by who wrote it. No
// clock is in it. The zero Version is before all others: nobody has set the name.
type Version struct {
	Counter uint64
	Writer  string // WriterDigits of 0-9, A-Z, a-z: random, one for each life of a hub
}

const (
	// MostCounter bounds counters, so that JavaScript counts as exactly.
	MostCounter = 1<<53 - 1
	// WriterDigits is the length of a writer.
	WriterDigits = 7
)

// Before says whether v is older than other.
func (v Version) Before(other Version) bool {
	return v.Counter < other.Counter || v.Counter == other.Counter && v.Writer < other.Writer
}

// A Stamp is what the header of a set value says.
type Stamp struct {
	Version
	Deleted bool // the name has no value since
	Again   bool // it is sent once more, for those who have missed it
}

// String is the stamp as it is written: the counter in hex, a point, the writer, "-" if deleted, "+" if again. The
// zero stamp is "0".
func (s Stamp) String() string { return string(s.Append(nil)) }

// Append writes the stamp behind b.
func (s Stamp) Append(b []byte) []byte {
	b = strconv.AppendUint(b, s.Counter, 16)
	if s.Counter == 0 {
		return b
	}
	b = append(append(b, '.'), s.Writer...)
	if s.Deleted {
		b = append(b, '-')
	}
	if s.Again {
		b = append(b, '+')
	}
	return b
}

// ParseStamp reads what String wrote; ok is false for anything else.
func ParseStamp(text string) (s Stamp, ok bool) {
	if text == "0" {
		return s, true
	}
	digits := 0
	for digits < len(text) && (text[digits] >= '0' && text[digits] <= '9' || text[digits] >= 'a' && text[digits] <= 'f') {
		digits++
	}
	rest := text[digits:]
	if digits == 0 || digits > 14 || text[0] == '0' || len(rest) < 1+WriterDigits || rest[0] != '.' {
		return s, false
	}
	s.Counter, _ = strconv.ParseUint(text[:digits], 16, 64) // only digits, and not too many
	s.Writer, rest = rest[1:1+WriterDigits], rest[1+WriterDigits:]
	for i := range len(s.Writer) {
		if c := s.Writer[i]; c < '0' || c > 'z' || c > '9' && c < 'A' || c > 'Z' && c < 'a' {
			return Stamp{}, false
		}
	}
	if rest != "" && rest[0] == '-' {
		s.Deleted, rest = true, rest[1:]
	}
	if rest == "+" {
		s.Again, rest = true, ""
	}
	if rest != "" || s.Counter > MostCounter {
		return Stamp{}, false
	}
	return s, true
}
