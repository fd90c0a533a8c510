package hub

import (
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/natswire"
)

// number is what a message is known by: see package natswire, which reads and writes it.
type number = natswire.Number

const mostStreams = 1 << 16 // that a hub publishes on at a time

// ownPrefix begins the subjects that hubs talk to one another on.
const ownPrefix = "_KH."

// numbered says whether messages on subject have numbers: those of NATS itself, and answers, have
// their own.
func numbered(subject string) bool {
	return subject[0] != '$' && !strings.HasPrefix(subject, "_INBOX.") && !strings.HasPrefix(subject, ownPrefix)
}
