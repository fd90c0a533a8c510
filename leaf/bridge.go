package leaf

import (
	"regexp"
	"strings"
)

// BridgeState is the state of the connection to the backbone.
type BridgeState string

const (
	// BridgeConnecting: not up yet; it is being tried.
	BridgeConnecting BridgeState = "connecting"
	// BridgeConnected: messages cross.
	BridgeConnected BridgeState = "connected"
	// BridgeDisconnected: it was up and is being tried again, or no backbone is configured.
	BridgeDisconnected BridgeState = "disconnected"
	// BridgeError: a backbone answers and refuses (credentials, TLS, wrong port, a loop).
	BridgeError BridgeState = "error"
)

// bridge is a small machine that is told what the server logs and how many leafnode
// connections it has, and says in which state the bridge is. It is not safe for
// concurrent use.
type bridge struct {
	configured bool
	secure     bool // By TLS.
	up         bool
	wasUp      bool
	refused    bool
	lastError  string
}

func (b *bridge) state() BridgeState {
	switch {
	case !b.configured:
		return BridgeDisconnected
	case b.up:
		return BridgeConnected
	case b.refused:
		return BridgeError
	case b.wasUp:
		return BridgeDisconnected
	}
	return BridgeConnecting
}

// links tells how many bridges the server counts.
func (b *bridge) links(n int) {
	b.up = n > 0
	if b.up {
		b.wasUp, b.refused = true, false
	}
}

// notice is told a line about a leafnode connection that came or went.
func (b *bridge) notice(line string) {
	before, reason, closed := strings.Cut(line, "Leafnode connection closed: ")
	reason, _, _ = strings.Cut(reason, " - ")
	switch {
	case !closed:
	case b.up:
		b.lastError = "connection closed: " + reason
	case !b.refused:
		// It answered and said nothing: with TLS 1.3 that is also how a server ends it
		// that misses a client certificate.
		address, _, _ := strings.Cut(before, " - ")
		b.refused, b.lastError = true, address+": closed without a reason given ("+reason+")"
		if b.secure {
			b.lastError += ": does the backbone want a client certificate?"
		}
	}
}

// The server counts its attempts in the line.
var attempt = regexp.MustCompile(` \(attempt \d+\)`)

// complaint is told an error line. It reports whether the line is about the bridge,
// and whether it says again what the one before said.
func (b *bridge) complaint(line string) (isBridge, repeated bool) {
	unreachable := strings.HasPrefix(line, "Error trying to connect as leafnode")
	// Lines of one connection begin "address:port - lid:7 - " (lid_ws for WebSockets).
	prefix, text, ofLink := strings.Cut(line, " - ")
	ofLink = ofLink && strings.HasPrefix(text, "lid") && !strings.Contains(prefix, " ")
	if !unreachable && !ofLink {
		return false, false
	}
	short := attempt.ReplaceAllString(line, "")
	if ofLink {
		_, text, _ = strings.Cut(text, " - ")
		if b.refused && strings.HasSuffix(text, "connection closed") {
			return true, true // What follows from the line before, which has the reason.
		}
		short = prefix + ": " + text
		b.refused = !b.up
	} else {
		b.refused = false
	}
	repeated = short == b.lastError
	b.lastError = short
	return true, repeated
}
