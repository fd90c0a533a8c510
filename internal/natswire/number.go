package natswire

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
)

// headerNumber is the header that carries a message's number, as the first one and written
// "Kseq:<publisher><stream>.<count>": who published it (7 digits, random, one for each life of a
// hub), on which of its subjects (a stream is what one hub publishes on one subject), and the
// how manieth message of that stream it is, from 1. Digits are of base 62: 0-9, A-Z, a-z.
//
// A message that has been published by something else with the headers of another one, by a bridge for
// example, is of the other's stream, on another subject: receivers follow each stream on each subject.
const HeaderNumber = "Kseq"

const (
	publisherDigits = 7
	StreamBits      = 22 // 62^7 < 2^42, so both fit into 64 bits
	MaxCount        = 1 << 62
	// numberSize bounds what a number adds to a message's headers, in bytes.
	NumberSize = len("NATS/1.0\r\n") + len(HeaderNumber) + len(":") + publisherDigits + 4 + len(".") + 11 + len("\r\n\r\n")
)

// A number is a message's. Its zero value is that of a message without one.
type Number struct {
	Stream uint64 // publisher and index of the stream
	Count  uint64 // from 1
}

func StreamOf(publisher, index uint64) uint64 { return publisher<<StreamBits | index }

func (n Number) Publisher() uint64 { return n.Stream >> StreamBits }

// newPublisher is a random publisher.
func NewPublisher() uint64 {
	for {
		var b [8]byte
		rand.Read(b[:])
		if p := binary.LittleEndian.Uint64(b[:]) >> StreamBits; p > 0 && p < pow62[publisherDigits] {
			return p
		}
	}
}

const digits62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

var (
	pow62   [11]uint64
	value62 [256]int8 // -1: no digit
)

// The tables are small, and filled once.
var _ = func() bool {
	for i := range value62 {
		value62[i] = -1
	}
	for i := range len(digits62) {
		value62[digits62[i]] = int8(i)
	}
	pow62[0] = 1
	for i := 1; i < len(pow62); i++ {
		pow62[i] = pow62[i-1] * 62
	}
	return true
}()

// append62 writes n with at least least digits.
func Append62(b []byte, n uint64, least int) []byte {
	var text [11]byte
	at := len(text)
	for n > 0 || len(text)-at < least {
		at--
		text[at] = digits62[n%62]
		n /= 62
	}
	return append(b, text[at:]...)
}

// parse62 reads digits, at least one and no more than fit.
func Parse62[T string | []byte](text T) (n uint64, ok bool) {
	if len(text) == 0 || len(text) > 10 && (len(text) > 11 || text[0] > '5') {
		return 0, false
	}
	for i := range len(text) {
		d := value62[text[i]]
		if d < 0 {
			return 0, false
		}
		n = 62*n + uint64(d)
	}
	return n, true
}

// publisherName is a publisher as it is written.
func PublisherName(publisher uint64) string { return string(Append62(nil, publisher, publisherDigits)) }

// appendStream and appendNumber write what stands in the header.
func AppendStream(b []byte, stream uint64) []byte {
	b = Append62(b, stream>>StreamBits, publisherDigits)
	return Append62(b, stream&(1<<StreamBits-1), 1)
}

func AppendNumber(b []byte, n Number) []byte {
	return Append62(append(AppendStream(b, n.Stream), '.'), n.Count, 1)
}

// parseStream and parseNumber read it; what is not one of ours is not ok.
func ParseStream[T string | []byte](text T) (stream uint64, ok bool) {
	if len(text) <= publisherDigits || len(text) > publisherDigits+4 {
		return 0, false
	}
	publisher, ok := Parse62(text[:publisherDigits])
	index, ok2 := Parse62(text[publisherDigits:])
	if !ok || !ok2 || publisher == 0 || index >= 1<<StreamBits {
		return 0, false
	}
	return StreamOf(publisher, index), true
}

func ParseNumber[T string | []byte](text T) (n Number, ok bool) {
	dot := -1
	for i := publisherDigits; i < len(text) && i <= publisherDigits+4; i++ {
		if text[i] == '.' {
			dot = i
		}
	}
	if dot < 0 {
		return Number{}, false
	}
	n.Stream, ok = ParseStream(text[:dot])
	count, ok2 := Parse62(text[dot+1:])
	if !ok || !ok2 || count == 0 || count > MaxCount {
		return Number{}, false
	}
	n.Count = count
	return n, true
}

const NumberLine = headerLine + "\r\n" + HeaderNumber + ":"

// onlyNumber reads headers that are a number and nothing else, as most are; text is the number.
func onlyNumber(header []byte) (n Number, text []byte, ok bool) {
	end := len(header) - len("\r\n\r\n")
	if end < len(NumberLine) || string(header[:len(NumberLine)]) != NumberLine || string(header[end:]) != "\r\n\r\n" {
		return Number{}, nil, false
	}
	text = header[len(NumberLine):end]
	n, ok = ParseNumber(text)
	return n, text, ok
}

// takeNumber takes the number out of headers h, and is h without it. What JetStream hands out again, on purpose, is judged
// by nobody: it comes with JetStream's own numbers.
func takeNumber(h map[string][]string) (n Number, rest map[string][]string) {
	values, found := h[HeaderNumber]
	if !found {
		return Number{}, h
	}
	delete(h, HeaderNumber)
	stored := h["Nats-Stream"] != nil
	if len(h) == 0 {
		h = nil
	}
	if len(values) == 1 && !stored {
		n, _ = ParseNumber(strings.TrimSpace(values[0]))
	}
	return n, h
}
