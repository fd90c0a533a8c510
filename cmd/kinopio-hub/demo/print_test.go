package demo

import (
	"strings"
	"testing"
	"time"
)

func TestTerminalNamesPlaces(t *testing.T) {
	d := &demo{
		backbone: &backbone{clientURL: "nats://127.0.0.1:1", websocketURL: "ws://127.0.0.1:2"},
		leaf:     &leafProcess{clientURL: "nats://127.0.0.1:3", websocketURL: "wss://127.0.0.1:4"},
	}
	at := time.Date(2030, 1, 2, 15, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		event event
		want  string
	}{
		{event{Event: "move", Move: &moveEvent{Who: "page", To: "ws://127.0.0.1:2"}},
			"  15:04:05  page       joined    backbone\n"},
		{event{Event: "move", Move: &moveEvent{Who: "page", From: "ws://127.0.0.1:2", To: "wss://127.0.0.1:4", Reason: "leaf found", Planned: true, TookMs: 71.4, HeldMs: 8.2}},
			"  15:04:05  page       moved     backbone → leaf  leaf found, 71 ms, held messages back for 8 ms\n"},
		{event{Event: "move", Move: &moveEvent{Who: "service", From: "wss://127.0.0.1:4", To: "nats://127.0.0.1:1", Reason: "leaf lost", TookMs: 3}},
			"  15:04:05  service    moved     leaf → backbone  leaf lost, 3 ms\n"},
		{event{Event: "move", Move: &moveEvent{Who: "page", From: "ws://127.0.0.1:2", To: "wss://127.0.0.1:4", Error: "refused"}},
			"  15:04:05  page       stays     leaf not joined: refused\n"},
		{event{Event: "leaf", Leaf: &leafStatus{State: leafStopped, How: "killed"}},
			"  15:04:05  leaf       killed    the plug was pulled\n"},
		{event{Event: "leaf", Leaf: &leafStatus{State: leafStopped, How: "stopped"}},
			"  15:04:05  leaf       stopped\n"},
	} {
		c.event.Time = at
		var out strings.Builder
		if err := d.writeText(&out, c.event); err != nil || out.String() != c.want {
			t.Errorf("printed %q, %v; want %q", out.String(), err, c.want)
		}
	}
}
