package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
)

// onTheWire are values as the page writes them, and their bytes. The page must make the bytes
// of the value, and the value of the bytes.
var onTheWire = []struct {
	name  string
	value string // a JavaScript expression
	bytes string
}{
	{"text", `"plain text, no quotes"`, "plain text, no quotes"},
	{"text beyond ASCII", `"grüße, 漢字, 🍄"`, "grüße, 漢字, 🍄"},
	{"number", `42.5`, "42.5"},
	{"true", `true`, "true"},
	{"object", `{ a: [1, 2, { b: null }], c: "d" }`, `{"a":[1,2,{"b":null}],"c":"d"}`},
	{"bytes that are no text", `new Uint8Array([0, 255, 128, 10])`, "\x00\xff\x80\n"},
	{"nothing", `null`, ""},
}

func TestPlainClientsUnderstandThePage(t *testing.T) {
	l := newLab(t)
	eval[bool](l.browser, fmt.Sprintf(`(async () => {
		window.hub = open({ servers: [%q] });
		await hub.connected();
		window.got = [];
		await hub.page.values.sub((value) => got.push(value));
		await hub.page.double.serve((n) => ({ twice: n * 2 }));
		await hub.page.echo.serve((value) => value);
		await hub.page.broken.serve(() => { throw new Error("out of order, sorry"); });
		// show makes a value comparable: bytes are not the same as the text or the array.
		window.show = (v) => v instanceof Uint8Array ? "bytes " + Array.from(v) : JSON.stringify(v);
		return true;
	})()`, l.remote.websocket))
	for _, p := range []struct {
		name string
		open func(*testing.T, string) peer
	}{{"nats.go", newNativePeer}, {"nats-core in Node", newNodePeer}} {
		t.Run(p.name, func(t *testing.T) {
			l := l
			l.browser = l.browser.in(t)
			exchange(t, l, p.open(t, l.remote.client), strings.Fields(p.name)[0])
		})
	}
}

// exchange sends everything in both directions between the page and one plain client, whose
// subjects begin with mark.
func exchange(t *testing.T, l lab, p peer, mark string) {
	mark = strings.ReplaceAll(mark, ".", "-")
	if err := p.subscribe(mark + ".values"); err != nil {
		t.Fatal(err)
	}
	for _, v := range onTheWire {
		eval[bool](l.browser, fmt.Sprintf(`hub.getScope(%q).values.pub(%s).then(() => true)`, mark, v.value))
		if m := next(t, p); string(m.Data) != v.bytes {
			t.Errorf("the page published %s: the client got %q, want %q", v.name, m.Data, v.bytes)
		}
		if err := p.publish("page.values", []byte(v.bytes)); err != nil {
			t.Fatal(err)
		}
		l.waitFor("the page has got "+v.name, `got.length > 0`, `got.length`)
		got := eval[string](l.browser, `show(got.shift())`)
		if want := eval[string](l.browser, fmt.Sprintf(`show(%s)`, v.value)); got != want {
			t.Errorf("the client published %s: the page got %s, want %s", v.name, got, want)
		}
		answer, err := p.request("page.echo", []byte(v.bytes))
		if err != nil || string(answer.Data) != v.bytes {
			t.Errorf("the page's echo of %s: %q, %v; want %q", v.name, answer.Data, err, v.bytes)
		}
	}

	answer, err := p.request("page.double", []byte("21"))
	if err != nil || string(answer.Data) != `{"twice":42}` {
		t.Errorf("the page's service answered %q, %v; want {\"twice\":42}", answer.Data, err)
	}
	sorry, err := p.request("page.broken", nil)
	var body struct {
		Error   bool   `json:"error"`
		Message string `json:"message"`
	}
	if err != nil || json.Unmarshal(sorry.Data, &body) != nil || !body.Error || body.Message != "out of order, sorry" {
		t.Errorf("the reply of a handler that threw: %q, %v", sorry.Data, err)
	}
	if sorry.Headers["Nats-Service-Error"] != "out of order, sorry" || sorry.Headers["Nats-Service-Error-Code"] != "500" {
		t.Errorf("its headers: %v; want Nats-Service-Error and Nats-Service-Error-Code 500", sorry.Headers)
	}

	if err := p.serve(mark+".greet", rawMsg{Data: []byte(`{"hello":"page"}`)}); err != nil {
		t.Fatal(err)
	}
	if got := eval[string](l.browser, fmt.Sprintf(`hub.getScope(%q).greet.req({ who: "page" }).then(show)`, mark)); got != `{"hello":"page"}` {
		t.Errorf("the client's service answered the page %s", got)
	}
	if m := next(t, p); !bytes.Equal(m.Data, []byte(`{"who":"page"}`)) {
		t.Errorf("the client got the request %q", m.Data)
	}
	if err := p.serve(mark+".refuse", rawMsg{Data: []byte("why"), Headers: map[string]string{"Nats-Service-Error": "not today", "Nats-Service-Error-Code": "418"}}); err != nil {
		t.Fatal(err)
	}
	type serviceFailure struct{ Code, ServiceCode, Message, Data string }
	got := eval[serviceFailure](l.browser, fmt.Sprintf(`hub.getScope(%q).refuse.req("please").then(
		(value) => ({ code: "none", message: show(value) }), (e) => ({ code: e.code, serviceCode: String(e.serviceCode), message: e.message, data: String(e.data) }))`, mark))
	if got.Code != "SERVICE_ERROR" || got.ServiceCode != "418" || got.Data != "why" || !strings.Contains(got.Message, "not today") {
		t.Errorf("a client's service error reached the page as %+v", got)
	}
	next(t, p)
	if f := eval[failure](l.browser, fmt.Sprintf(`fails(hub.getScope(%q).nobody.req(1))`, mark)); f.Code != "NO_RESPONDERS" {
		t.Errorf("a request that nobody serves: %+v, want NO_RESPONDERS", f)
	}
	t.Logf("%d kinds of values both ways and echoed, 2 services each way, error replies with headers, no responders", len(onTheWire))
}

// next returns the next message that came to the client.
func next(t *testing.T, p peer) rawMsg {
	t.Helper()
	select {
	case m := <-p.messages():
		return m
	case <-time.After(patience):
		t.Fatalf("no message came to the client within %v", patience)
		return rawMsg{}
	}
}
