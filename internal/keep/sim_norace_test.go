//go:build !race && !js

package keep

const simShare = 1
