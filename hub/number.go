package hub

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
const headerNumber = "Kseq"

const (
	publisherDigits = 7
	streamBits      = 22      // 62^7 < 2^42, so both fit into 64 bits
	mostStreams     = 1 << 16 // that a hub publishes on at a time
	mostCount       = 1 << 62
	// numberSize bounds what a number adds to a message's headers, in bytes.
	numberSize = len("NATS/1.0\r\n") + len(headerNumber) + len(":") + publisherDigits + 4 + len(".") + 11 + len("\r\n\r\n")
)

// A number is a message's. Its zero value is that of a message without one.
type number struct {
	stream uint64 // publisher and index of the stream
	count  uint64 // from 1
}

func streamOf(publisher, index uint64) uint64 { return publisher<<streamBits | index }

func (n number) publisher() uint64 { return n.stream >> streamBits }

// newPublisher is a random publisher.
func newPublisher() uint64 {
	for {
		var b [8]byte
		rand.Read(b[:])
		if p := binary.LittleEndian.Uint64(b[:]) >> streamBits; p > 0 && p < pow62[publisherDigits] {
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
func append62(b []byte, n uint64, least int) []byte {
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
func parse62[T string | []byte](text T) (n uint64, ok bool) {
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
func publisherName(publisher uint64) string { return string(append62(nil, publisher, publisherDigits)) }

// appendStream and appendNumber write what stands in the header.
func appendStream(b []byte, stream uint64) []byte {
	b = append62(b, stream>>streamBits, publisherDigits)
	return append62(b, stream&(1<<streamBits-1), 1)
}

func appendNumber(b []byte, n number) []byte {
	return append62(append(appendStream(b, n.stream), '.'), n.count, 1)
}

// parseStream and parseNumber read it; what is not one of ours is not ok.
func parseStream[T string | []byte](text T) (stream uint64, ok bool) {
	if len(text) <= publisherDigits || len(text) > publisherDigits+4 {
		return 0, false
	}
	publisher, ok := parse62(text[:publisherDigits])
	index, ok2 := parse62(text[publisherDigits:])
	if !ok || !ok2 || publisher == 0 || index >= 1<<streamBits {
		return 0, false
	}
	return streamOf(publisher, index), true
}

func parseNumber[T string | []byte](text T) (n number, ok bool) {
	dot := -1
	for i := publisherDigits; i < len(text) && i <= publisherDigits+4; i++ {
		if text[i] == '.' {
			dot = i
		}
	}
	if dot < 0 {
		return number{}, false
	}
	n.stream, ok = parseStream(text[:dot])
	count, ok2 := parse62(text[dot+1:])
	if !ok || !ok2 || count == 0 || count > mostCount {
		return number{}, false
	}
	n.count = count
	return n, true
}

// ownPrefix begins the subjects that hubs talk to one another on.
const ownPrefix = "_KH."

// numbered says whether messages on subject have numbers: those of NATS itself, and answers, have
// their own.
func numbered(subject string) bool {
	return subject[0] != '$' && !strings.HasPrefix(subject, "_INBOX.") && !strings.HasPrefix(subject, ownPrefix)
}

const numberLine = headerLine + "\r\n" + headerNumber + ":"

// onlyNumber reads headers that are a number and nothing else, as most are; text is the number.
func onlyNumber(header []byte) (n number, text []byte, ok bool) {
	end := len(header) - len("\r\n\r\n")
	if end < len(numberLine) || string(header[:len(numberLine)]) != numberLine || string(header[end:]) != "\r\n\r\n" {
		return number{}, nil, false
	}
	text = header[len(numberLine):end]
	n, ok = parseNumber(text)
	return n, text, ok
}

// takeNumber takes the number out of h. What JetStream hands out again, on purpose, is judged by
// nobody: it comes with JetStream's own numbers.
func (m *inbound) takeNumber() {
	values, found := m.header[headerNumber]
	if !found {
		return
	}
	delete(m.header, headerNumber)
	stored := m.header["Nats-Stream"] != nil
	if len(m.header) == 0 {
		m.header = nil
	}
	if len(values) == 1 && !stored {
		m.number, _ = parseNumber(strings.TrimSpace(values[0]))
	}
}

// stored says that m comes from a stream of JetStream, to a consumer.
func (m *inbound) stored() bool { return strings.HasPrefix(m.reply, "$JS.ACK.") }
