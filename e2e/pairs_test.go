package e2e

import (
	"fmt"
	"testing"
)

// Everyone who may be on one system, each way with each other: values, services, their errors.
func TestAllPairsUnderstandEachOther(t *testing.T) {
	l := newLab(t)
	const old = "2.1.0"
	parties := map[string]party{
		"page": newPageParty(t, l),
		"node": nodeParty{startNode(t, "hub.mjs", l.remote.websocket)},
		"go":   newGoParty(t, l.remote.client),
		old:    newOldParty(t, l.remote.client),
	}
	names := []string{"page", "node", "go", old}
	subjects := 0
	for _, from := range names {
		for _, to := range names {
			if from == to {
				continue
			}
			t.Run(from+" to "+to, func(t *testing.T) {
				a, b := parties[from], parties[to]
				subjects++
				values, service := fmt.Sprintf("pairs.values%d", subjects), fmt.Sprintf("pairs.service%d", subjects)
				if err := b.hear(values); err != nil {
					t.Fatal(err)
				}
				for _, v := range onTheWire {
					if err := a.say(values, value{v.value, v.bytes}); err != nil {
						t.Fatal(err)
					}
					want, err := shown(decoded([]byte(v.bytes)))
					if err != nil {
						t.Fatal(err)
					}
					if to == old {
						want = v.bytes
					}
					if got, err := b.next(); err != nil || got != want {
						t.Errorf("%s: it heard %s, %v; want %s", v.name, got, err, want)
					}
				}
				if err := b.offer(service); err != nil {
					t.Fatal(err)
				}
				if got, err := a.ask(service, value{"21", "21"}); err != nil || got != `{"twice":42}` {
					t.Errorf("it was answered %s, %v", got, err)
				}
				want := "SERVICE_ERROR want a number"
				if from == old || to == old { // whose errors are values
					want = `{"error":true,"message":"want a number"}`
				}
				if got, err := a.ask(service, value{`"no number"`, "no number"}); err != nil || got != want {
					t.Errorf("a service that failed answered %s, %v; want %s", got, err, want)
				}
			})
		}
	}
	if subjects != 12 {
		t.Errorf("%d pairs were tried, want 12", subjects)
	}
}
