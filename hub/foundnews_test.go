package hub

import (
	"testing"
	"time"
)

// What leaves elsewhere tell, however often and in vain, does not hold up what a leaf here tells.
func TestNewsFromElsewhereDelayNone(t *testing.T) {
	n := newsLimiter{place: "203-0-113-7"}
	here, elsewhere := []string{"203.0.113.7"}, []string{"198.51.100.9"}
	now := time.Now()
	follow := func(something bool) {
		at, ok := n.next()
		if !ok {
			t.Fatal("no news")
		}
		now = at
		n.begin(now)
		n.report(something)
		if _, ok := n.next(); ok {
			t.Fatal("news are left")
		}
	}
	n.take(now, elsewhere, 1)
	first, _ := n.next()
	if first.Sub(now) != farSpread {
		t.Errorf("from elsewhere: followed after %v, want %v", first.Sub(now), farSpread)
	}
	follow(false)
	for range 20 {
		n.take(now, elsewhere, 0)
		follow(false)
	}
	n.take(now, elsewhere, 0)
	if at, _ := n.next(); at.Sub(now) != maxNewsInterval {
		t.Errorf("from elsewhere, again and again: followed after %v, want %v", at.Sub(now), maxNewsInterval)
	}
	n.take(now, here, 1)
	if at, _ := n.next(); at.Sub(now) != nearSpread {
		t.Errorf("from here: followed after %v, want %v", at.Sub(now), nearSpread)
	}
	for range 20 { // in vain, until news that bring something
		n.take(now, here, 0)
		follow(false)
	}
	n.take(now, here, 0)
	if at, _ := n.next(); at.Sub(now) < maxNewsInterval/2 {
		t.Errorf("from here, again and again in vain: followed after %v", at.Sub(now))
	}
	follow(true)
	n.take(now, nil, 0)
	if at, _ := n.next(); at.Sub(now) != minNewsInterval {
		t.Errorf("after news that brought something: followed after %v, want %v", at.Sub(now), minNewsInterval)
	}
}
