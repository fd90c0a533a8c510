//go:build !race

package keep

const simShare = 1
