//go:build race || js

package keep

// simShare: one in so many worlds is played, because the race detector and browsers take their time.
const simShare = 20
