package presence

import (
	"bytes"
	"hash/fnv"
	"strconv"
	"strings"
)

// What is said. Everything is text, but for the data of members, which is bytes whose number is told before them.
//
//	here <id> <seq> <size>\n<data>                  of oneself: I am here, with this data
//	left <id> <seq>                                 of oneself: I am not any more
//	call <id> <round> <count> <hash>                who is here? I know so many
//	gone <id>\n<id> <seq>\n…                        these have not answered
//	say <id>\n<id>\n…                               these shall say that they are here
//	list <id> <token> <part> <parts>\n<records>     all that who calls knows
//
// To who calls, apart: "<id> <seq> <caller> <round>", with " ?" behind it from who knows others than were told. And the
// answer to a question: "who <id> <part> <parts>\n<records>". A record is "<id> <seq> <size>\n<data>\n".
const (
	// IDDigits is the length of the id of a member: of 0-9 and A-Z.
	IDDigits = 10
	// MostData bounds the data of a member, in bytes.
	MostData = 1024
	// Most bounds the members that are known in one scope.
	Most = 4096
	// mostSeq bounds how often a member changes, so that JavaScript counts as exactly, and mostJump by how much at a time, so
	// that nobody takes another's place for ever.
	mostSeq, mostJump = 1 << 40, 1 << 20
	// chunk bounds one message, in bytes.
	chunk = 32 << 10
)

// A record is what is known of a member.
type record struct {
	id   string
	seq  uint64
	data []byte
}

func (r record) append(b []byte) []byte {
	b = append(append(b, r.id...), ' ')
	b = append(strconv.AppendUint(b, r.seq, 10), ' ')
	b = append(strconv.AppendInt(b, int64(len(r.data)), 10), '\n')
	return append(b, r.data...)
}

// hash is a record's part of what is known: the hashes of all are taken together by xor.
func (r record) hash() uint32 {
	h := fnv.New32a()
	h.Write([]byte(r.id + " " + strconv.FormatUint(r.seq, 10)))
	return h.Sum32()
}

func validID(id string) bool {
	if len(id) != IDDigits {
		return false
	}
	for i := range len(id) {
		if c := id[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

func parseSeq(text string) (seq uint64, ok bool) {
	seq, err := strconv.ParseUint(text, 10, 64)
	return seq, err == nil && seq > 0 && seq <= mostSeq && text[0] != '0' && text[0] != '+'
}

// cutRecord takes a record off the beginning of b.
func cutRecord(b []byte) (r record, rest []byte, ok bool) {
	line, rest, ok := bytes.Cut(b, []byte("\n"))
	f := strings.Split(string(line[:min(len(line), 64)]), " ")
	if !ok || len(f) != 3 || !validID(f[0]) {
		return r, nil, false
	}
	seq, ok := parseSeq(f[1])
	size, err := strconv.ParseUint(f[2], 10, 16)
	if !ok || err != nil || size > MostData || int(size) > len(rest) {
		return r, nil, false
	}
	return record{f[0], seq, bytes.Clone(rest[:size])}, rest[size:], true
}

// records reads those that follow each other.
func records(b []byte) (all []record) {
	for len(b) > 0 && len(all) < Most {
		r, rest, ok := cutRecord(b)
		if !ok || len(rest) == 0 || rest[0] != '\n' {
			return all
		}
		all, b = append(all, r), rest[1:]
	}
	return all
}

// chunks are records in as many messages as they need, each behind what head says of it.
func chunks(all []record, head func(part, parts int) string) (texts [][]byte) {
	bodies := [][]byte{nil}
	for _, r := range all {
		last := len(bodies) - 1
		if len(bodies[last]) > 0 && len(bodies[last])+len(r.data)+IDDigits+32 > chunk {
			bodies, last = append(bodies, nil), last+1
		}
		bodies[last] = append(r.append(bodies[last]), '\n')
	}
	for i, body := range bodies {
		texts = append(texts, append([]byte(head(i+1, len(bodies))+"\n"), body...))
	}
	return texts
}
