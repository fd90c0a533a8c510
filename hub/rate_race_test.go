//go:build race

package hub_test

// rate is in messages a second for each publisher: what a busy machine can do with the race
// detector on. A move between servers that fall behind is undone, which is no defect.
const rate = 300

// crowd is how many hubs leave a leaf together.
const crowd = 30
