package hub

// MoveTo makes a planned move, as discovery does.
func (h *Hub) MoveTo(url string) error { return h.propose(target{url: url, via: viaLeaf}, "test") }
