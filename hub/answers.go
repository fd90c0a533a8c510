package hub

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// What a publisher does for those who miss something of it: see repairs.

// hearAsk takes a question. The intake's lock is held.
func (r *repairs) hearAsk(m *Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for line := range strings.Lines(string(m.Data)) {
		f := strings.Fields(line)
		if len(f) != 5 || len(r.requests) >= repairRequestsKept {
			return
		}
		stream, ok := natswire.ParseStream(f[0])
		from, err := strconv.ParseUint(f[1], 10, 64)
		to, err2 := strconv.ParseUint(f[2], 10, 64)
		age, err3 := strconv.ParseInt(f[3], 10, 32)
		if !ok || err != nil || err2 != nil || err3 != nil || from == 0 || from > natswire.MaxCount || to != 0 && from > to || to > natswire.MaxCount || age < 0 || checkName(f[4], false) != nil {
			return
		}
		if len(r.requests) == 0 {
			r.requestsSince = time.Now()
		}
		r.requests = append(r.requests, repairRequest{stream, span{from, to}, time.Duration(age) * time.Millisecond, f[4]})
	}
	notify(r.wake)
}

// tick lets the store forget what is old.
func (r *repairs) tick(now time.Time) {
	o := &r.h.outbox
	o.mu.Lock()
	empty := o.store.tick(now)
	o.storeEmpty = empty
	o.mu.Unlock()
	if empty {
		r.mu.Lock()
		r.keeps = false
		r.mu.Unlock()
	}
}

// published is called when the store has something again.
func (r *repairs) published() {
	r.mu.Lock()
	r.keeps = true
	r.mu.Unlock()
	notify(r.wake)
}

// respond answers the requests of others, and announces how far this hub has counted.
func (r *repairs) respond(now time.Time, sooner func(time.Time)) {
	r.mu.Lock()
	var requests []repairRequest
	if len(r.requests) > 0 {
		at := r.requestsSince.Add(collecting)
		if at.Before(r.rests) {
			at = r.rests
		}
		if !at.After(now) {
			requests, r.requests = r.requests, nil
		} else {
			sooner(at)
		}
	}
	isDue := func(times *[]time.Time) bool {
		due := false
		var rest []time.Time
		for _, at := range *times {
			if at.After(now) {
				rest = append(rest, at)
				sooner(at)
			} else {
				due = true
			}
		}
		*times = rest
		return due
	}
	announce, call := isDue(&r.due), isDue(&r.calls)
	if announce {
		r.backs = 0
	}
	r.mu.Unlock()
	if len(requests) > 0 {
		bytes := r.answer(requests, now)
		r.mu.Lock()
		r.rests = now.Add(collecting + time.Duration(bytes)*time.Second/answerRate)
		r.mu.Unlock()
	}
	if announce {
		r.announce()
	}
	if call {
		r.trySend(OutMsg{Subject: subjectSync, Data: []byte("back")})
	}
}

// announce says how far this hub has counted on what it has published lately.
func (r *repairs) announce() {
	o := &r.h.outbox
	o.mu.Lock()
	head := r.countsHead()
	var texts [][]byte
	text := head
	announced := map[*outStream]bool{}
	o.store.each(func(s *outStream, _ OutMsg, _ time.Time) bool {
		if announced[s] {
			return true
		}
		announced[s] = true
		text = appendCount(text, s)
		if len(text) > questionBytes {
			texts = append(texts, text)
			text = head[:len(head):len(head)]
		}
		return true
	})
	o.mu.Unlock()
	if len(text) > len(head) {
		texts = append(texts, text)
	}
	for _, text := range texts {
		r.trySend(OutMsg{Subject: subjectSync, Data: text})
	}
}

// countsHead is the first line of what says how far this hub has counted. r.h.outbox.mu is held.
func (r *repairs) countsHead() []byte {
	return fmt.Appendf(nil, "counts %s\n", natswire.PublisherName(r.h.outbox.publisher))
}

// appendCount appends the line of s.
func appendCount(text []byte, s *outStream) []byte {
	return fmt.Appendf(natswire.AppendStream(text, s.id), " %d %s\n", s.count, s.subject)
}

// answer sends again what was asked for, each message once, and says what it does not have.
func (r *repairs) answer(requests []repairRequest, now time.Time) (bytes int) {
	o := &r.h.outbox
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.link == nil || o.link.congested() {
		return 0 // they ask again
	}
	byStream := map[uint64][]*repairRequest{}
	for i := range requests {
		byStream[requests[i].stream] = append(byStream[requests[i].stream], &requests[i])
	}
	streams := map[uint64]*outStream{}
	for _, s := range o.streams {
		if byStream[s.id] != nil {
			streams[s.id] = s
		}
	}
	messages := 0
	had := map[uint64][]uint64{} // the counts that the store has, in order, of each stream
	publisher := natswire.PublisherName(o.publisher)
	o.store.each(func(s *outStream, m OutMsg, since time.Time) bool {
		wants := byStream[s.id]
		if wants == nil {
			return true
		}
		for _, w := range wants {
			if m.number.Count < w.from || m.number.Count > w.to || w.subject != s.subject || w.age > 0 && since.Before(now.Add(-w.age)) {
				continue
			}
			had[s.id] = append(had[s.id], m.number.Count)
			if bytes > answerBytes || messages > answerLimit {
				break // they ask again
			}
			bytes += len(m.Data)
			messages++
			m.Subject = ownPrefix + "again." + publisher + "." + s.subject
			if tooLarge(o.link, []OutMsg{m}) != nil {
				had[s.id] = had[s.id][:len(had[s.id])-1]
				break
			}
			if err := o.publish(&m); err != nil {
				return false
			}
			break
		}
		return true
	})
	for i := range requests {
		w := &requests[i]
		if w.tail() {
			continue
		}
		gone := func(from, to, count uint64) {
			m := OutMsg{Subject: ownPrefix + "again." + publisher + "." + w.subject, Header: Header{headerGone: {
				string(natswire.AppendStream(nil, w.stream)) + fmt.Sprintf(" %d %d %d %d", from, to, count, w.age.Milliseconds()),
			}}}
			_ = o.publish(&m) // the link tells of its end
		}
		s := streams[w.stream]
		switch {
		case s == nil:
			gone(w.from, w.to, natswire.MaxCount)
			continue
		case s.subject != w.subject:
			gone(0, 0, 0)
			continue
		case w.to > s.count:
			gone(0, 0, s.count)
		}
		from := w.from
		for _, n := range had[w.stream] {
			if n >= from && n <= w.to {
				if n > from {
					gone(from, n-1, s.count)
				}
				from = n + 1
			}
		}
		if to := min(w.to, s.count); from <= to {
			gone(from, to, s.count)
		}
	}
	return bytes + r.ahead(requests, streams)
}
