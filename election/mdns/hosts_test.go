package mdns

import (
	"fmt"
	"os/exec"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// respond starts a Responder on a host.
func respond(h *lab.Host, node string) *lab.Process {
	address := "127.0.0.1"
	if h.Address.IsValid() {
		address = h.Address.String()
	}
	p := h.Play("responder", address, node)
	p.Await("ready")
	return p
}

func TestLeavesAreHeardAsTheyComeChangeAndGo(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	ha := n.Host("a")
	a, b, c := respond(ha, "node-a"), respond(n.Host("b"), "node-b"), respond(n.Host("c"), "node-c")
	for epoch := 1; epoch <= 2; epoch++ {
		a.Say(fmt.Sprint("announce ", epoch))
		for _, p := range []*lab.Process{a, b, c} {
			p.Await(fmt.Sprintf("heard studio/node-a epoch=%d at %s:8444 wss=8443 rtt=12 host=mac.local extra=map[ctr:%d] ttl=4s", epoch, ha.Address, epoch))
		}
	}
	a.Say("goodbye")
	b.Await("goodbye studio/node-a")
	a.Say("announce 3")
	b.Await("epoch=3")
	a.Stop() // says goodbye too
	b.Await("goodbye studio/node-a")
	b.Silent(time.Second, "node-a")
}

func TestANewcomersQuestionIsAnswered(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	a, hb := respond(n.Host("a"), "node-a"), n.Host("b")
	a.Say("announce 5")
	a.Await("epoch=5")
	time.Sleep(answerInterval) // in which the announcement itself is the answer
	respond(hb, "node-b").Await("heard studio/node-a epoch=5")
}

func TestAnAnnouncementThatIsNotRenewedIsAnsweredNoMore(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	a, hb := respond(n.Host("a"), "node-a"), n.Host("b")
	a.Say("announce 5")
	a.Await("epoch=5")
	time.Sleep(TTL + 500*time.Millisecond)
	respond(hb, "node-b").Silent(time.Second, "node-a")
}

func TestNeighboursOnOneHostAndOnLoHearEachOther(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	for _, h := range []*lab.Host{n.Host("a"), n.Lonely("alone")} {
		one, two := respond(h, "node-1"), respond(h, "node-2")
		one.Say("announce 1")
		two.Await("heard studio/node-1")
		two.Say("announce 2")
		one.Await("heard studio/node-2")
		one.Say("goodbye")
		two.Await("goodbye studio/node-1")
	}
}

func TestUnicastAndPlainDNSClientsAreAnswered(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	ha, hb := n.Host("a"), n.Host("b")
	a := respond(ha, "node-a")
	for kind, want := range map[string]string{
		"plain":   "id=4711 questions=1 answers=1 extra=3",
		"unicast": "id=0 questions=0 answers=1 extra=3",
	} {
		hb.IP("route", "replace", "224.0.0.0/4", "dev", "eth0") // a plain client has no other way
		asker := hb.Play("asker", kind)
		asker.Await("ready")
		a.Say("announce 1")
		a.Await("epoch=1")
		asker.Say("ask")
		asker.Await("answer from "+ha.Address.String()+":5353", want)
		asker.Stop()
	}
}

func TestNonsenseIsCountedAndSurvived(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	a, hb := respond(n.Host("a"), "node-a"), n.Host("b")
	hb.IP("route", "replace", "224.0.0.0/4", "dev", "eth0")
	asker := hb.Play("asker", "plain")
	asker.Await("ready")
	for _, packet := range []string{"nonsense", "a longer piece of nonsense, in a packet of DNS", "huge"} {
		asker.Say(packet)
	}
	for deadline := time.Now().Add(lab.AwaitTimeout); ; {
		a.Say("stats")
		if line := a.Await("stats"); isCounted(line) {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("%s: want malformed=2 oversized=1", line)
		}
		time.Sleep(50 * time.Millisecond)
	}
	a.Say("announce 1")
	a.Await("epoch=1")
	asker.Say("ask")
	asker.Await("answer from", "id=4711")
}

// isCounted: both pieces of nonsense, and the packet that is too large.
func isCounted(line string) bool {
	var answers, malformed, bad, oversized int
	_, err := fmt.Sscanf(line, "stats answers=%d malformed=%d bad=%d oversized=%d", &answers, &malformed, &bad, &oversized)
	return err == nil && malformed == 2 && oversized == 1
}

// startAvahi runs the system's own multicast DNS, with its message bus, on a host: what it says
// of leaves are lines such as "+;eth0;IPv4;..." (come) and "-;" (gone), and for each line that it
// is told "=;" (the records).
const startAvahi = `set -e
mount -t tmpfs tmpfs /run
mkdir -p /run/dbus /run/avahi-daemon
printf '[server]\nuse-ipv6=no\nhost-name=%s\n[publish]\npublish-hinfo=no\n' "$1" >/run/avahi.conf
dbus-daemon --system --nofork --nopidfile >&2 &
until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done
avahi-daemon -f /run/avahi.conf --no-drop-root --no-chroot --no-rlimits >&2 &
until avahi-daemon -c; do sleep 0.1; done
echo ready
stdbuf -oL avahi-browse --parsable --no-db-lookup _kinopio-leaf._tcp &
while read look; do
	avahi-browse --parsable --resolve --terminate --no-db-lookup _kinopio-leaf._tcp | grep '^=' || true
done
`

// avahi starts it, and awaits that it runs.
func avahi(t *testing.T, h *lab.Host) *lab.Process {
	t.Helper()
	for program, pkg := range map[string]string{"avahi-daemon": "avahi-daemon", "avahi-browse": "avahi-utils", "dbus-daemon": "dbus"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("%s is missing; the Debian package %s brings it (scripts/setup installs it)", program, pkg)
		}
	}
	p := h.Start("avahi", h.Command(t.Context(), "sh", "-c", startAvahi, "avahi", h.Name))
	p.Await("ready")
	return p
}

func TestAvahiSeesLeavesComeChangeAndGo(t *testing.T) {
	t.Parallel()
	n := lab.New(t)
	ha, hb := n.Host("a"), n.Host("b")
	far := avahi(t, hb)
	near := avahi(t, ha) // on our own host, on the same port
	a := respond(ha, "node-a")
	c := respond(n.Host("c"), "node-c")
	for _, epoch := range []int{1, 2} {
		a.Say(fmt.Sprint("announce ", epoch))
		c.Await(fmt.Sprint("heard studio/node-a epoch=", epoch))
		for _, who := range []*lab.Process{far, near} {
			if epoch == 1 {
				who.Await("+;eth0;IPv4;studio-node-a;_kinopio-leaf._tcp;local")
			}
			records := []string{"=;eth0;IPv4;studio-node-a", ";kinopio-node-a.local;" + ha.Address.String() + ";8444;", fmt.Sprintf(`"epoch=%d"`, epoch), `"wsproto=wss"`}
			for deadline := time.Now().Add(lab.AwaitTimeout); ; {
				a.Say(fmt.Sprint("announce ", epoch)) // as a leader does every second
				who.Say("look")
				if _, ok := who.Within(time.Second, records...); ok {
					break
				} else if time.Now().After(deadline) {
					t.Fatalf("avahi does not see epoch %d:\n%s", epoch, who.Said())
				}
			}
		}
	}
	a.Say("goodbye")
	far.Await("-;eth0;IPv4;studio-node-a;_kinopio-leaf._tcp;local")
	near.Await("-;eth0;IPv4;studio-node-a;")
	a.Say("announce 3")
	far.Await("+;eth0;IPv4;studio-node-a;")
	a.Kill() // and nobody says goodbye
	far.Await("-;eth0;IPv4;studio-node-a;")
}
