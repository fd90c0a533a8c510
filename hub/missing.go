package hub

// Missing tells of messages that did not come and will not: their publisher is gone, has not kept
// them, or could not be asked in time. It is for subscriptions of this hub on Subject.
type Missing struct {
	Subject   string
	Publisher string // as in the messages' numbers
	From, To  uint64 // numbers, both included
}

// Count is how many messages are missing.
func (m Missing) Count() uint64 { return m.To - m.From + 1 }

// OnMissing calls fn for messages that did not come and will not, until stop.
func (h *Hub) OnMissing(fn func(Missing)) (stop func()) { return h.onMissing.add(fn) }
