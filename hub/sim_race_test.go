//go:build race && !js

package hub

// simShare: one in so many scenarios is played, because the race detector takes its time.
const simShare = 20
