//go:build race || js

package presence

// simShare is the share of the worlds that is played, because the race detector and browsers take their time.
const simShare = 20
