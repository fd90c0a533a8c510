package leaf

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func TestWhoIsNoClientYetIsCutByAgeAndNumber(t *testing.T) {
	now := time.Now()
	r := halfOpenRules{silence: 10 * time.Second, most: 80}
	at := func(host string, port int) netip.AddrPort {
		return netip.MustParseAddrPort(fmt.Sprintf("%s:%d", host, port))
	}
	var waiting []halfOpen
	for i := range 300 { // One address, all at once.
		waiting = append(waiting, halfOpen{at: at("192.168.1.66", 1000+i), since: now, silent: i%2 == 0})
	}
	guest, thinks, quiet := at("192.168.1.7", 1), at("192.168.1.8", 1), at("192.168.1.9", 1)
	waiting = append(waiting, halfOpen{at: guest, since: now, silent: true}, halfOpen{at: thinks, since: now.Add(-time.Minute)}, halfOpen{at: quiet, since: now.Add(-11 * time.Second), silent: true})
	ends := r.cut(waiting, now)
	if len(ends) != 300-r.most/mostOpenShare+1 || !slices.Contains(ends, quiet) || slices.Contains(ends, guest) || slices.Contains(ends, thinks) {
		t.Errorf("%d are cut; silent for long: %v, a guest: %v, who thinks: %v", len(ends), slices.Contains(ends, quiet), slices.Contains(ends, guest), slices.Contains(ends, thinks))
	}

	waiting = nil
	for i := range 100 { // Each from an address of its own.
		waiting = append(waiting, halfOpen{at: at(fmt.Sprintf("10.0.0.%d", i+1), 1), since: now.Add(time.Duration(i) * time.Millisecond)})
	}
	if ends := r.cut(waiting, now); len(ends) != 20 || ends[0] != waiting[0].at {
		t.Errorf("%d of 100 are cut, first %v", len(ends), ends)
	}
}
