//go:build !race

package kept

const simShare = 1
