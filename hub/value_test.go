//go:build !js

package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
)

// vectorText is a text, or {"repeat": n, "of": text}.
type vectorText string

func (v *vectorText) UnmarshalJSON(b []byte) error {
	var long struct {
		Repeat int
		Of     string
	}
	if err := json.Unmarshal(b, &long); err == nil {
		*v = vectorText(strings.Repeat(long.Of, long.Repeat))
		return nil
	}
	return json.Unmarshal(b, (*string)(v))
}

// The vectors that Go and JavaScript share say what a value is.
func TestValueVectors(t *testing.T) {
	b, err := os.ReadFile("../conformance/values.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		About string
		Cases []struct {
			Name  string
			Steps []map[string]json.RawMessage
		}
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors.Cases) < 25 {
		t.Fatalf("%d cases, %v", len(vectors.Cases), err)
	}
	for _, c := range vectors.Cases {
		t.Run(c.Name, func(t *testing.T) {
			var rule valueRule
			ids := map[uint64][]uint64{} // of the vectors → the rule's
			for i, raw := range c.Steps {
				fail := func(format string, args ...any) {
					t.Helper()
					t.Fatalf("step %d: %s", i+1, fmt.Sprintf(format, args...))
				}
				get := func(name string, into any) (found bool) {
					value, found := raw[name]
					if !found {
						return false
					}
					delete(raw, name)
					if string(value) != "null" && json.Unmarshal(value, into) != nil {
						fail("%s = %s", name, value)
					}
					return true
				}
				payloadOf := func(name string) payload { // null: there is none
					var data vectorText
					p := payload{known: string(raw[name]) != "null"}
					get(name, &data)
					p.data = []byte(data)
					return p
				}
				id := func(name string, do func(uint64)) {
					var n uint64
					if get(name, &n) {
						for _, own := range ids[n] {
							do(own)
						}
					}
				}
				var data vectorText
				var n uint64
				times, echo, unsure := 1, true, false
				get("repeat", &times)
				get("echo", &echo)
				switch {
				case get("sent", &data):
					get("id", &n)
					for range times {
						ids[n] = append(ids[n], rule.sent([]byte(data), echo))
					}
				case get("heard", &data):
					got := rule.heard([]byte(data))
					if get("unsure", &unsure) && got != unsure {
						fail("unsure = %v, want %v", got, unsure)
					}
				case raw["set"] != nil:
					p := payloadOf("set")
					get("id", &n)
					ids[n] = append(ids[n], rule.set(p, echo))
				case raw["placed"] != nil:
					rule.place(payloadOf("placed"))
				case raw["echoed"] != nil:
					got := rule.echoed(payloadOf("echoed"))
					if get("unsure", &unsure) && got != unsure {
						fail("unsure = %v, want %v", got, unsure)
					}
				case raw["is"] != nil:
					known := string(raw["is"]) != "null"
					get("is", &data)
					if now := rule.now(); now.known != known || string(now.data) != string(data) {
						fail("the value is %.60q, known %v: want %.60q, %v", now.data, now.known, data, known)
					}
				case get("pending", &n):
					if len(rule.pending) != int(n) {
						fail("%d pending, want %d", len(rule.pending), n)
					}
				case raw["denied"] != nil:
					delete(raw, "denied")
					rule.denied()
				case raw["lost"] != nil:
					delete(raw, "lost")
					rule.lost()
				default:
					id("went", rule.went)
					id("failed", rule.failed)
					if get("passed", &n) {
						var last uint64
						for at, own := range ids {
							for _, one := range own {
								if at <= n {
									last = max(last, one)
								}
							}
						}
						rule.passed(last)
					}
				}
				if len(raw) > 0 {
					fail("%v means nothing", raw)
				}
			}
		})
	}
}

// Whatever is sent, lost, withdrawn and heard, at the end the value is what the server has put last in order,
// and nothing of what was pending is kept.
func TestValueIsTheServersInTheEnd(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var rule valueRule
		var last []byte // of the server's order
		type message struct {
			data []byte
			id   uint64
		}
		var waiting, flying []message // not with a connection; on their way to the server
		var coming [][]byte           // on their way here
		deliver := func(data []byte) { last, coming = data, append(coming, data) }
		step := func(what int) {
			switch {
			case what < 4:
				data := fmt.Append(nil, r.IntN(4))
				waiting = append(waiting, message{data, rule.sent(data, true)})
				if now := rule.now(); !now.known || !bytes.Equal(now.data, data) {
					t.Fatalf("seed %d: an own value is %q at once, want %q", seed, now.data, data)
				}
			case what < 7 && len(waiting) > 0:
				flying = append(flying, waiting[0])
				rule.went(waiting[0].id)
				waiting = waiting[1:]
			case what < 8 && len(waiting) > 0:
				rule.failed(waiting[len(waiting)-1].id)
				waiting = waiting[:len(waiting)-1]
			case what < 11 && len(flying) > 0:
				if r.IntN(5) > 0 { // else it has no echo
					deliver(flying[0].data)
				}
				flying = flying[1:]
			case what < 14:
				deliver(fmt.Append(nil, r.IntN(4)))
			case len(coming) > 0:
				rule.heard(coming[0])
				coming = coming[1:]
			}
		}
		for range 100 {
			step(r.IntN(20))
		}
		for len(waiting) > 0 {
			step(5)
		}
		for len(flying) > 0 {
			step(9)
		}
		deliver([]byte("end"))
		for len(coming) > 0 {
			step(19)
		}
		rule.passed(rule.serial)
		if now := rule.now(); !bytes.Equal(now.data, last) || len(rule.pending) > 0 || rule.bytes != 0 {
			t.Fatalf("seed %d: the value is %q with %d pending (%d bytes), want %q", seed, now.data, len(rule.pending), rule.bytes, last)
		}
	}
}

// What servers say of permissions is read, whatever is in the names.
func TestViolationsAreRead(t *testing.T) {
	for text, want := range map[string]PermissionError{
		`Permissions Violation for Publish to "a.b"`:                            {Publish: true, Subject: "a.b"},
		`Permissions Violation for Subscription to "a.*"`:                       {Subject: "a.*"},
		`Permissions Violation for Subscription to "a.>" using queue "q.r"`:     {Subject: "a.>", Queue: "q.r"},
		`Permissions Violation for Publish with Reply of "_INBOX.x"`:            {Publish: true, Subject: "_INBOX.x"},
		`Permissions Violation for Publish to "a\"b\\\"c\\"`:                    {Publish: true, Subject: `a"b\"c\`},
		`Permissions Violation for Subscription to "ä" using queue "q\"q"`:      {Subject: "ä", Queue: `q"q`},
		`something else: Permissions Violation for Subscription to "after.all"`: {Subject: "after.all"},
	} {
		got := violationOf(fmt.Errorf("%w: %s", ErrPermission, text))
		if got == nil || *got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
	for _, text := range []string{"", "Permissions Violation", `Permissions Violation for Publish to a.b`, `Permissions Violation for Publish to "a.b`} {
		if got := violationOf(fmt.Errorf("%w: %s", ErrPermission, text)); got != nil {
			t.Errorf("%q is %+v", text, got)
		}
	}
}
