package e2e

import "testing"

// What make demo shows to someone who has installed and trusted nothing.
func TestNewcomerSeesTheSwitchWithoutDoingAnything(t *testing.T) {
	d := startDemo(t, "--leaf-after", "1500ms") // the last of two equal flags counts
	b := openBrowser(t, "")
	b.goTo(d.ready.Ready.Page)
	p := demoPage{b, d}
	took := p.waitOn("leaf", d.ready.Ready.Leaf.WebSocket)
	moves := p.moves(0)
	p.receive(100)
	p.fromLeaf("#stop", "stopped")
	p.toLeaf()
	p.receive(100)
	if c := p.counters(); c.Lost != 0 || c.Repeated != 0 || c.Disordered != 0 {
		t.Errorf("the first moves were not exact: %v", c)
	}
	if noise := b.said(""); len(noise) > 0 {
		t.Errorf("the console of a demo that works must be empty, it says: %q", noise)
	}
	t.Logf("on the leaf %v after the page was opened, by the moves %+v; nothing in the console", took, moves)
}
