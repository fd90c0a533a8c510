//go:build !race

package leaf

const raceDetector = false
