package demo

import (
	"context"
	"strconv"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A numbered stream alternates a number, counting up from 1, and a payload that is always the
// same: 1 = 2 = 3 = … The numbers show which messages were lost, repeated or out of order; and
// as exactly one "=" belongs between two numbers, the same is known of messages that no
// payload can tell apart.
const identicalPayload = "="

// streamTick is how often a stream sends what has become due.
const streamTick = 5 * time.Millisecond

// publishStream sends perSecond messages a second on subject until ctx ends.
func publishStream(ctx context.Context, h *hub.Hub, subject string, perSecond int) {
	ticker := time.NewTicker(streamTick)
	defer ticker.Stop()
	begin, sent := time.Now(), 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		due := int(time.Since(begin).Seconds() * float64(perSecond))
		if due-sent > perSecond { // this machine slept: go on from here
			begin = begin.Add(time.Duration(float64(due-sent) / float64(perSecond) * float64(time.Second)))
			continue
		}
		var batch []hub.OutMsg
		for ; sent < due; sent++ {
			batch = append(batch, hub.OutMsg{Subject: subject, Data: streamPayload(sent)})
		}
		if len(batch) > 0 {
			h.Publish(batch...)
		}
	}
}

// streamPayload is the i-th payload of a numbered stream.
func streamPayload(i int) []byte {
	if i%2 == 1 {
		return []byte(identicalPayload)
	}
	return strconv.AppendInt(nil, int64(i/2+1), 10)
}
