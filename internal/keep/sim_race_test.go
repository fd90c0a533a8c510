//go:build race

package keep

// simShare: one in so many worlds is played, because the race detector takes its time.
const simShare = 20
