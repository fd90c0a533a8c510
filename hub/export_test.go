package hub

// MoveTo makes a planned move, as discovery does.
func (h *Hub) MoveTo(url string) error { return h.propose(target{url: url, via: viaLeaf}, "test") }

// HasPlain says whether messages without numbers have come, for which a move takes longer.
func (h *Hub) HasPlain() bool { return h.intake.hasPlain() }
