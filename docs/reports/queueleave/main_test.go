package main

import (
	"testing"
	"time"
)

// The report is about what this nats-server does. When this fails because nothing comes twice any more, the
// report is history, and docs/moves.md can promise more.
func TestMembersThatLeaveMakeCopies(t *testing.T) {
	const delay = 10 * time.Millisecond
	c, err := start(delay)
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	var direct outcome
	for _, w := range ways(delay) {
		if w.joins != 1 || w.wait != 8*delay {
			continue // those that joined elsewhere 4 round trips before
		}
		w.wait = time.Second // a busy machine takes longer to spread interest
		one, err := c.try(w, delay, 1000)
		if err != nil {
			t.Fatalf("%s: %v", w.name, err)
		}
		if one.nobody+one.twice > 0 {
			t.Errorf("%s: of %d messages %d came to no member and %d to two", w.name, one.messages, one.nobody, one.twice)
		}
		direct = direct.plus(one)
	}
	if direct.messages == 0 || direct.again == 0 {
		t.Errorf("%+v: want some that plain subscribers heard more than once", direct)
	}
}
