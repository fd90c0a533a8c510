package hub

import "github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"

// An outStream is what the hub publishes on one subject.
type outStream struct {
	subject string
	id      uint64
	count   uint64 // of messages so far
	line    []byte // the beginning of the headers of the next message, with its number
	digits  int    // of it are the count's
	used    uint64 // outbox.sent, when it was used last
}

// stream is the one of subject.
func (o *outbox) stream(subject string) *outStream {
	if s := o.latest; s != nil && s.subject == subject {
		return s
	}
	s := o.streams[subject]
	if s == nil {
		s = o.begin(subject)
	}
	o.latest = s
	return s
}

// forget forgets the stream of a subject on which nobody publishes any more: the next begins a new one.
func (o *outbox) forget(subject string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if s := o.streams[subject]; s != nil {
		delete(o.streams, subject)
		if o.latest == s {
			o.latest = nil
		}
	}
}

// counted goes on to the next number. In a page a division costs more than the rest of it.
func (s *outStream) counted() {
	s.count++
	for i := len(s.line) - 1; i >= len(s.line)-s.digits; i-- {
		switch c := s.line[i]; c {
		case 'z':
			s.line[i] = '0'
			continue
		case '9':
			s.line[i] = 'A'
		case 'Z':
			s.line[i] = 'a'
		default:
			s.line[i] = c + 1
		}
		return
	}
	s.line = natswire.AppendNumber(s.line[:0:0], number{Stream: s.id, Count: s.count + 1})
	s.line = append([]byte(natswire.NumberLine), s.line...)
	s.digits++
}

// begin begins a stream. Those that have not been used for longest are forgotten when they are too
// many: under a new index they may begin anew.
func (o *outbox) begin(subject string) *outStream {
	if o.streams == nil {
		o.streams = map[string]*outStream{}
		o.hub.spawn(o.hub.repairs.serve)
	}
	if len(o.streams) >= mostStreams {
		var average uint64
		for _, s := range o.streams {
			average += s.used / uint64(len(o.streams))
		}
		for subject, s := range o.streams {
			if s.used <= average {
				delete(o.streams, subject)
			}
		}
	}
	if o.index++; o.index >= 1<<natswire.StreamBits {
		o.publisher, o.index = natswire.NewPublisher(), 1
		o.hub.spawn(o.hub.repairs.serve)
	}
	s := &outStream{subject: subject, id: natswire.StreamOf(o.publisher, o.index), digits: 1}
	s.line = natswire.AppendNumber([]byte(natswire.NumberLine), number{Stream: s.id, Count: 1})
	o.streams[subject] = s
	return s
}
