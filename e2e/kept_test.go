package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// converged is how long the tests wait for what takes up to 10 s, on a busy machine.
const converged = time.Minute

// newTab is another tab of the same browser.
func (b *browser) newTab() *browser {
	b.t.Helper()
	c, ok := b.page.(*engine.ChromiumPage)
	if !ok {
		b.t.Fatalf("%s has one tab here: this is for Chromium", b.page.Version())
	}
	tab, err := c.NewTab()
	if err != nil {
		b.t.Fatal(err)
	}
	return &browser{t: b.t, page: tab, heard: b.heard}
}

func TestSecondTabShowsWhatTheFirstHasSet(t *testing.T) {
	l := newLab(t)
	openHub := fmt.Sprintf(`(async () => { window.hub = open({ servers: [%q] }); await hub.connected(); return true; })()`, l.remote.websocket)
	eval[bool](l.browser, openHub)
	eval[bool](l.browser, `(async () => {
		await hub.light.state.set({ on: true });
		await hub.light.colour.set("red");
		await hub.light.colour.delete();
		await hub.light.event.pub("not kept");
		await hub.flush();
		return true;
	})()`)
	second := l.newTab()
	second.goTo(l.page.URL + "/")
	eval[bool](second, openHub)
	got := eval[[]any](second, `(async () => {
		const { state, colour, event } = hub.light;
		const seen = [];
		state.onChange((value, exists) => seen.push([value, exists]));
		const values = [await state.ready(), await colour.ready(), await event.ready()];
		return [values, [state.meta, colour.meta, event.meta].map(({ exists, known, version }) => [exists, known, version]), seen];
	})()`)
	if text := fmt.Sprint(got); text != "[[map[on:true] <nil> <nil>] [[true true 1] [false true 2] [false true 0]] [[map[on:true] true]]]" {
		t.Errorf("the second tab has %s", text)
	}
	// The first tab is closed, the second has the value for a third.
	eval[bool](second, `(hub.light.state.set({ on: false }), true)`)
	l.waitFor("the first tab hears of it", `hub.light.state.value?.on === false`, `[hub.light.state.value, hub.light.state.meta]`)
	eval[bool](l.browser, `hub.dispose().then(() => true)`)
	third := l.newTab()
	third.goTo(l.page.URL + "/")
	eval[bool](third, openHub)
	if on := eval[any](third, `hub.light.state.ready().then((value) => value?.on ?? null)`); on != false {
		t.Errorf("the third tab has %v, want false", on)
	}
	for i, b := range []*browser{l.browser, second, third} {
		if errors := eval[[]any](b, `seen.flatMap((said) => said.errors)`); len(errors) > 0 {
			t.Errorf("tab %d has reported %v", i+1, errors)
		}
	}
}

// The demo's page moves to the leaf and back while 10,000 other messages a second flow; a page that is opened then shows what
// was set before and on the way.
func TestSecondTabShowsTheValueAfterMovesAmongMuchTraffic(t *testing.T) {
	d := startDemo(t, "--tls", "--rate", "10000")
	p := openDemoPage(t, d)
	eval[bool](p.browser, `(async () => {
		window.kept = demo.hub.getScope("kept");
		await kept.getVariable("before").set("set on the backbone");
		await kept.getVariable("last").set(1);
		const slider = document.getElementById("kept");
		slider.value = 42;
		slider.dispatchEvent(new Event("input"));
		return true;
	})()`)
	p.toLeaf()
	p.receive(5000)
	eval[bool](p.browser, `(async () => {
		await kept.getVariable("there").set("set on the leaf");
		await kept.getVariable("last").set(2);
		return true;
	})()`)
	look := `(async () => {
		const kept = demo.hub.getScope("kept");
		const names = ["before", "there", "last", "never"];
		return Promise.all(names.map((name) => kept.getVariable(name).ready(30_000)));
	})()`
	check := func(when, want string) {
		t.Helper()
		second := p.newTab()
		second.goTo(d.ready.Ready.Page)
		second.waitFor("the second tab's hub is connected", `window.demo?.hub?.state === "connected"`, `document.body.innerText`)
		if got := fmt.Sprint(eval[[]any](second, look)); got != want {
			t.Errorf("%s a second tab has %s, want %s", when, got, want)
		}
		second.waitFor("the demo shows its slider's value", `document.getElementById("kept-value").textContent === "42" && document.getElementById("kept").value === "42"`, `document.getElementById("kept-value").textContent`)
		eval[bool](second, `demo.hub.dispose().then(() => true)`)
	}
	check("on the leaf", "[set on the backbone set on the leaf 2 <nil>]")
	p.fromLeaf("#stop", "stopped")
	p.receive(5000)
	eval[bool](p.browser, `kept.getVariable("last").set(3).then(() => true)`)
	check("after the way back", "[set on the backbone set on the leaf 3 <nil>]")
	rate := eval[float64](p.browser, `(async () => {
		const before = demo.counters.received;
		await new Promise((done) => setTimeout(done, 2000));
		return (demo.counters.received - before) / 2;
	})()`)
	t.Logf("%.0f messages a second came to the page; %v", rate, p.counters())
}

// mixed are hubs of both languages, in two parts of a system whose bridge can be taken away.
type mixed struct {
	t        *testing.T
	node     *nodePeer
	js       int // hubs in Node, the even ones on the backbone
	native   []*hub.Hub
	subjects []string
}

func (m *mixed) do(action string, what any, answer any) {
	m.t.Helper()
	data, err := json.Marshal(what)
	if err == nil {
		var got rawMsg
		if got, err = m.node.do(action, rawMsg{Data: data}); err == nil && answer != nil {
			err = json.Unmarshal(got.Data, answer)
		}
	}
	if err != nil {
		m.t.Fatalf("%s: %v", action, err)
	}
}

func (m *mixed) variable(h int, subject string) *hub.Variable {
	scope, name, _ := strings.Cut(subject, ".")
	return m.native[h].Scope(scope).Variable(name)
}

// set sets a value at a hub, of which those in Node come first; nil deletes it.
func (m *mixed) set(h int, subject string, value any) {
	m.t.Helper()
	if h < m.js {
		action := "set"
		if value == nil {
			action = "delete"
		}
		m.do(action, map[string]any{"hub": h, "subject": subject, "value": value}, nil)
		return
	}
	v := m.variable(h-m.js, subject)
	err := v.Delete(m.t.Context())
	if value != nil {
		err = v.Set(m.t.Context(), value)
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// differences are how many subjects not all have the same value and version of, and one of them.
func (m *mixed) differences() (n int, example string) {
	var states [][]string
	m.do("state", map[string]any{"subjects": m.subjects}, &states)
	for h := range m.native {
		var state []string
		for _, subject := range m.subjects {
			v := m.variable(h, subject)
			value, err := json.Marshal(v.Value())
			if err != nil {
				m.t.Fatal(err)
			}
			meta := v.Meta()
			state = append(state, fmt.Sprintf("%s %v %d.%s %v", value, meta.Exists, meta.Counter, meta.Writer, meta.Pending))
		}
		states = append(states, state)
	}
	for i, subject := range m.subjects {
		for h, state := range states {
			if state[i] != states[0][i] {
				n++
				example = fmt.Sprintf("%s is %s at hub %d, %s at hub 0", subject, state[i], h, states[0][i])
				break
			}
		}
	}
	return n, example
}

func (m *mixed) agree(when string) {
	m.t.Helper()
	start := time.Now()
	for {
		n, example := m.differences()
		if n == 0 {
			m.t.Logf("%s: all agree after %v", when, time.Since(start).Round(10*time.Millisecond))
			return
		}
		if time.Since(start) > converged {
			m.t.Fatalf("%s: %d of %d subjects differ: %s", when, n, len(m.subjects), example)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func TestHubsOfBothLanguagesComeToTheSameValues(t *testing.T) {
	backbone := startRemote(t, func(o *server.Options) {
		o.LeafNode.Host, o.LeafNode.Port, o.LeafNode.NoAdvertise = "127.0.0.1", -1, true
	})
	about, err := backbone.server.Varz(nil)
	if err != nil {
		t.Fatal(err)
	}
	bridge := newWire(t, fmt.Sprintf("nats://127.0.0.1:%d", about.LeafNode.Port))
	part := startRemote(t, func(o *server.Options) {
		o.LeafNode.Remotes = []*server.RemoteLeafOpts{{URLs: []*url.URL{{Scheme: "nats-leaf", Host: bridge.address}}}}
		o.LeafNode.ReconnectInterval = 100 * time.Millisecond
	})
	bridged := func(n int) {
		t.Helper()
		for end := time.Now().Add(converged); part.server.NumLeafNodes() != n || backbone.server.NumLeafNodes() != n; time.Sleep(10 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("there are not %d bridges", n)
			}
		}
	}
	bridged(1)
	m := &mixed{t: t, js: 6}
	var urls []string
	for i := range m.js {
		urls = append(urls, []string{backbone.websocket, part.websocket}[i%2])
	}
	m.node = startNode(t, "kept.mjs", strings.Join(urls, ","))
	for i := range 4 {
		h, err := hub.Open(t.Context(), hub.Config{Servers: []string{[]string{backbone.client, part.client}[i%2]}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { h.Close() })
		m.native = append(m.native, h)
	}
	for i := range 60 {
		m.subjects = append(m.subjects, fmt.Sprintf("s%d.v%d", i%3, i))
	}
	m.do("follow", map[string]any{"subjects": m.subjects}, nil)
	ctx, cancel := context.WithTimeout(t.Context(), converged)
	defer cancel()
	for h := range m.native {
		for _, subject := range m.subjects {
			if err := m.variable(h, subject).Ready(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, subject := range m.subjects {
		m.set(i%10, subject, fmt.Sprint("together ", i))
	}
	m.agree("in one system")
	for round := range 2 {
		bridge.refuse(true)
		bridged(0)
		for i, subject := range m.subjects {
			for side := range 2 {
				for k := range 1 + (i+side+round)%3 {
					var value any
					if (i+k)%7 != 3 {
						value = fmt.Sprint(round, " ", i, " ", side, " ", k)
					}
					m.set(((i+k)%5)*2+side, subject, value)
				}
			}
		}
		if n, _ := m.differences(); n == 0 {
			t.Fatal("the two parts agree without having met")
		}
		bridge.refuse(false)
		bridged(1)
		m.agree(fmt.Sprintf("round %d", round))
	}
}
