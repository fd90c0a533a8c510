//go:build !race

package hub_test

// rate is in messages a second for each publisher.
const rate = 1500

// crowd is how many hubs leave a leaf together.
const crowd = 100
