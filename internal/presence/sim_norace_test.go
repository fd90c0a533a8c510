//go:build !race && !js

package presence

const simShare = 1 // of the worlds
