//go:build !race

package hub_test

// rate is in messages a second for each publisher.
const rate = 1500
