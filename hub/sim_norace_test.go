//go:build !race && !js

package hub

const simShare = 1
