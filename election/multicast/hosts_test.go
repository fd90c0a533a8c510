package multicast

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// join starts a Bus on a host.
func join(h *lab.Host) *lab.Process {
	p := h.Play("member")
	p.Await("ready")
	return p
}

func TestThreeHostsHearEachOtherAndThemselves(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	hosts := []*lab.Host{n.Host("a"), n.Host("b"), n.Host("c")}
	var members []*lab.Process
	for _, h := range hosts {
		members = append(members, join(h))
	}
	for i, from := range members {
		from.Say("send hello-" + hosts[i].Name)
		for j, to := range members {
			line := to.Await("heard hello-" + hosts[i].Name)
			if i != j && !strings.Contains(line, " on eth0") {
				t.Errorf("%s %s, want it on eth0", hosts[j].Name, line)
			}
		}
	}
	for _, m := range members {
		m.Silent(200*time.Millisecond, "heard") // each came once, although it was sent on eth0 and lo
		m.Stop()
	}
}

func TestProgramsOfAHostWithOnlyLoHearEachOther(t *testing.T) {
	t.Parallel()
	h := lab.New(t).Lonely("alone")
	a, b := join(h), join(h)
	a.Say("send from-a")
	b.Await("heard from-a", "on lo")
	b.Say("send from-b")
	a.Await("heard from-b", "on lo")
}

func TestNeighboursOnOneHostHearTheLANAndEachOther(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	h, other := n.Host("a"), join(n.Host("b"))
	neighbours := []*lab.Process{join(h), join(h), join(h)}
	for _, from := range append(neighbours, other) {
		from.Say("send hello")
		for _, to := range append(neighbours, other) {
			to.Await("heard hello")
		}
		time.Sleep(repeatWindow + 100*time.Millisecond) // as all send the same
	}
}

func TestInterfacesThatAppearAndVanishAreFollowed(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	far := join(n.Host("far"))
	h := n.Lonely("laptop")
	near := join(h)
	near.Await("interfaces [lo]")
	for _, word := range []string{"one", "two"} { // the second eth0 has another index
		h.Plug("eth0", "lan")
		near.Await("interfaces [lo eth0]")
		near.Say("send out-" + word)
		far.Await("heard out-" + word)
		far.Say("send in-" + word)
		near.Await("heard in-"+word, "on eth0")
		h.Unplug("eth0")
		near.Await("interfaces [lo]")
		near.Say("send alone-" + word)
		near.Await("heard alone-" + word)
	}
}

// tell sends a word every second, as heartbeats are, until it is heard.
func tell(t *testing.T, from *lab.Process, word string, to *lab.Process, parts ...string) {
	t.Helper()
	for deadline := time.Now().Add(lab.AwaitTimeout); ; {
		from.Say("send " + word)
		if _, ok := to.Within(time.Second, append(parts, "heard "+word)...); ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s is not heard:\n%s", word, to.Said())
		}
	}
}

func TestFlapsPartitionsAndAddressesAreSurvived(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	h := n.Host("a")
	a, b := join(h), join(n.Host("b"))
	talk := func(when string) {
		t.Helper()
		a.Await("interfaces", "eth0") // after the change
		tell(t, a, "a-"+when, b)
		tell(t, b, "b-"+when, a)
	}
	talk("first")

	h.Flap(3, 300*time.Millisecond)
	a.Await("interfaces [lo]")
	talk("flapped")

	h.Readdress("eth0", netip.MustParsePrefix("10.77.0.200/24"))
	tell(t, a, "moved", b)
	tell(t, b, "found", a, "on eth0")

	for name, change := range map[string][2]func(){
		"partition": {func() { h.Move("elsewhere") }, func() { h.Move("lan") }},
		"cut":       {h.Cut, h.Heal},
	} {
		change[0]()
		a.Say("send lost-" + name)
		a.Await("heard lost-" + name) // by lo
		b.Silent(300*time.Millisecond, "lost-"+name)
		change[1]()
		tell(t, a, "healed-"+name, b)
		tell(t, b, "back-"+name, a)
	}
}

func TestAPacketOnTwoWaysIsDeliveredOnceAndEitherWayIsEnough(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	ha, hb := n.Host("a"), n.Host("b")
	ha.Plug("eth1", "second")
	hb.Plug("eth1", "second")
	a, b := join(ha), join(hb)
	a.Say("send twice")
	b.Await("heard twice")
	b.Silent(200*time.Millisecond, "heard twice")
	b.Say("stats")
	if line := b.Await("stats"); number(t, line, "repeated") < 1 {
		t.Errorf("%s: want repetitions, by two versions of IP on two ways", line)
	}
	ha.Down()
	a.Say("send once")
	b.Await("heard once", "on eth1")
}

func TestFloodIsBoundedAndOthersAreStillHeard(t *testing.T) {
	t.Parallel()
	const rate, lasts = 8000, 4 * time.Second
	n := lab.New(t)
	victim, honest := join(n.Host("victim")), join(n.Host("honest"))
	shouter := n.Host("shouter")
	victim.Say("stats")
	before := victim.Await("stats")
	flood := shouter.Play("shouter", "-rate", "8000", "-for", lasts.String())
	for i := range 10 {
		word := strings.Repeat("x", i+1)
		// On a machine that is busy a datagram may get lost in the system; agents repeat theirs.
		heard := false
		for tries := 0; tries < 5 && !heard; tries++ {
			honest.Say("send " + word + ".")
			_, heard = victim.Within(time.Second, "heard "+word+".")
		}
		if !heard {
			t.Fatalf("none of 5 datagrams was heard in the flood\n%s", victim.Said())
		}
		time.Sleep(lasts / 12)
	}
	var sent int
	if line := flood.Await("sent"); number(t, strings.Replace(line, "sent ", " sent=", 1), "sent") < rate {
		t.Fatalf("the flood is none: %s", line)
	} else {
		sent = number(t, strings.Replace(line, "sent ", " sent=", 1), "sent")
	}
	victim.Say("stats")
	after := victim.Await("stats")
	grew := func(name string) int { return number(t, after, name) - number(t, before, name) }
	t.Logf("%d packets: delivered %d, limited %d, overflowed %d, heap %d kB, %d ms of CPU",
		sent, grew("delivered"), grew("limited"), grew("overflowed"), number(t, after, "heap")/1000, grew("cpu"))
	if got, most := grew("delivered"), sourceBurst+int(sourceRate*lasts.Seconds())*2+100; got > most {
		t.Errorf("%d of %d packets were delivered, want at most %d", got, sent, most)
	}
	if grew("limited") < sent/4 {
		t.Errorf("%d of %d packets were limited: where are the others?", grew("limited"), sent)
	}
	if heap := number(t, after, "heap"); heap > 64<<20 {
		t.Errorf("%d bytes of memory after the flood", heap)
	}
	if cpu := time.Duration(grew("cpu")) * time.Millisecond; cpu > lasts {
		t.Errorf("%v of CPU time in a flood of %v", cpu, lasts)
	}
}

func TestOversizedPacketsAreCountedAndDropped(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	victim, shouter := join(n.Host("victim")), n.Host("shouter")
	shouter.Play("shouter", "-size", "60000", "-rate", "10", "-for", "1s").Await("sent")
	victim.Say("stats")
	line := victim.Await("stats")
	if number(t, line, "oversized") == 0 || number(t, line, "delivered") != 0 {
		t.Errorf("%s: want them counted, none delivered", line)
	}
	far := join(shouter)
	far.Say("send still there?")
	victim.Await("heard still there?")
}

// bare makes a host whose eth0 has no IPv4 address.
func bare(n *lab.Network, name string) *lab.Host {
	h := n.Host(name)
	h.IP("-4", "addr", "flush", "dev", "eth0")
	return h
}

func TestHostsWithoutIPv4HearEachOther(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	a, b, both := join(bare(n, "a")), join(bare(n, "b")), join(n.Host("both"))
	tell(t, a, "from-a", b, "on eth0")
	tell(t, b, "from-b", a, "on eth0")
	tell(t, both, "from-both", a, "on eth0")
	tell(t, a, "to-both", both, "on eth0")
}

// Linux lets a socket be a member on 20 interfaces.
func TestManyBridgesTakeNoPlaceFromTheLAN(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	h := n.Lonely("a")
	for i := range 30 {
		name := fmt.Sprintf("bridge%d", i)
		h.IP("link", "add", name, "type", "bridge")
		h.IP("addr", "add", fmt.Sprintf("172.20.%d.1/24", i), "dev", name)
		h.IP("link", "set", name, "up")
	}
	h.Plug("eth0", "lan") // with the highest index
	a, b := join(h), join(n.Host("b"))
	tell(t, a, "from-a", b, "on eth0")
	tell(t, b, "from-b", a, "on eth0")
}
