package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A party takes part in the test of all pairs.
type party interface {
	hear(subject string) error         // subscribes; what comes is for next
	next() (shown string, err error)   // the next value that came, as shown shows it
	say(subject string, v value) error // publishes
	offer(subject string) error        // serves: {"twice":84} for 42, an error for what is no number
	// ask requests, and gives the answer as shown shows it, or "SERVICE_ERROR why".
	ask(subject string, v value) (shown string, err error)
}

// value is one as JavaScript writes it, and its bytes.
type value struct{ code, bytes string }

// decoded is what the bytes mean by the wire format.
func decoded(data []byte) any {
	var v any
	switch {
	case len(data) == 0:
		return nil
	case json.Unmarshal(data, &v) == nil:
		return v
	case utf8.Valid(data):
		return string(data)
	}
	return data
}

// shown is how a value is compared: as party.mjs shows it.
func shown(v any) (string, error) {
	if data, ok := v.([]byte); ok {
		return "bytes " + strings.Trim(strings.ReplaceAll(fmt.Sprint(data), " ", ","), "[]"), nil
	}
	text, err := json.Marshal(v)
	return string(text), err
}

func receive(heard <-chan string) (string, error) {
	select {
	case text := <-heard:
		return text, nil
	case <-time.After(patience):
		return "", fmt.Errorf("nothing came within %v", patience)
	}
}

// pageParty is a hub in Chromium.
type pageParty struct{ lab }

func newPageParty(t *testing.T, l lab) party {
	l.routes.set("/party.mjs", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, "node/party.mjs") })
	eval[bool](l.browser, fmt.Sprintf(`(async () => {
		const { party } = await import("/party.mjs");
		window.heard = [];
		const hub = open({ servers: [%q] });
		await hub.connected();
		window.me = party(hub, (shown) => heard.push(shown));
		return true;
	})()`, l.remote.websocket))
	return pageParty{l}
}

func (p pageParty) do(action, subject, code string) (string, error) {
	return tryEval[string](p.browser, patience, fmt.Sprintf(`me.%s({ subject: %q, code: %q }).then((answer) => typeof answer === "string" ? answer : "")`, action, subject, code))
}

func (p pageParty) hear(subject string) error { _, err := p.do("hear", subject, ""); return err }
func (p pageParty) say(subject string, v value) error {
	_, err := p.do("say", subject, v.code)
	return err
}
func (p pageParty) offer(subject string) error { _, err := p.do("offer", subject, ""); return err }
func (p pageParty) ask(subject string, v value) (string, error) {
	return p.do("ask", subject, v.code)
}
func (p pageParty) next() (string, error) {
	p.waitFor("a value in the page", `heard.length > 0`, `heard`)
	return tryEval[string](p.browser, patience, `heard.shift()`)
}

// nodeParty is a hub of the package in a Node process.
type nodeParty struct{ *nodePeer }

func (p nodeParty) hear(subject string) error {
	_, err := p.do("hear", rawMsg{Subject: subject})
	return err
}
func (p nodeParty) say(subject string, v value) error {
	_, err := p.do("say", rawMsg{Subject: subject, Data: []byte(v.code)})
	return err
}
func (p nodeParty) offer(subject string) error {
	_, err := p.do("offer", rawMsg{Subject: subject})
	return err
}
func (p nodeParty) ask(subject string, v value) (string, error) {
	m, err := p.do("ask", rawMsg{Subject: subject, Data: []byte(v.code)})
	return string(m.Data), err
}
func (p nodeParty) next() (string, error) {
	select {
	case m := <-p.in:
		return string(m.Data), nil
	case <-time.After(patience):
		return "", fmt.Errorf("nothing came within %v: %s", patience, p.process.complaints())
	}
}

// goParty is a hub of a Go program.
type goParty struct {
	t     *testing.T
	hub   *hub.Hub
	heard chan string
}

func newGoParty(t *testing.T, url string) party {
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{url}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return &goParty{t, h, make(chan string, 64)}
}

func (p *goParty) at(subject string) *hub.Variable {
	scope, variable, _ := strings.Cut(subject, ".")
	return p.hub.Scope(scope).Variable(variable)
}

func (p *goParty) hear(subject string) error {
	_, err := p.at(subject).Sub(p.t.Context(), func(m *hub.Message) {
		text, err := shown(m.Value())
		if err != nil {
			text = err.Error()
		}
		p.heard <- text
	})
	return err
}

func (p *goParty) say(subject string, v value) error {
	return p.at(subject).Pub(p.t.Context(), decoded([]byte(v.bytes)))
}

func (p *goParty) offer(subject string) error {
	_, err := p.at(subject).Serve(p.t.Context(), func(_ context.Context, m *hub.Message) (any, error) {
		n, ok := m.Value().(float64)
		if !ok {
			return nil, errors.New("want a number")
		}
		return map[string]float64{"twice": n * 2}, nil
	})
	return err
}

func (p *goParty) ask(subject string, v value) (string, error) {
	m, err := p.at(subject).Req(p.t.Context(), decoded([]byte(v.bytes)))
	var failed *hub.ServiceError
	if errors.As(err, &failed) {
		return "SERVICE_ERROR " + failed.Message, nil
	}
	if err != nil {
		return "", err
	}
	return shown(m.Value())
}

func (p *goParty) next() (string, error) { return receive(p.heard) }

// oldParty sends and answers the bytes that kinopio-hub 2.1.0 does: errors in the payload alone,
// services in the queue group of their subject. It shows the bytes that it gets.
type oldParty struct {
	conn  *nats.Conn
	heard chan string
}

func newOldParty(t *testing.T, url string) party {
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return &oldParty{conn, make(chan string, 64)}
}

func (p *oldParty) hear(subject string) error {
	_, err := p.conn.Subscribe(subject, func(m *nats.Msg) {
		p.heard <- string(m.Data)
	})
	return errors.Join(err, p.conn.Flush())
}

func (p *oldParty) say(subject string, v value) error {
	return errors.Join(p.conn.Publish(subject, []byte(v.bytes)), p.conn.Flush())
}

func (p *oldParty) offer(subject string) error {
	_, err := p.conn.QueueSubscribe(subject, subject+".service", func(m *nats.Msg) {
		answer := `{"error":true,"message":"want a number"}`
		if n, ok := decoded(m.Data).(float64); ok {
			answer = fmt.Sprintf(`{"twice":%v}`, n*2)
		}
		_ = m.Respond([]byte(answer)) // the request fails then, and the test with it
	})
	return errors.Join(err, p.conn.Flush())
}

func (p *oldParty) ask(subject string, v value) (string, error) {
	m, err := p.conn.Request(subject, []byte(v.bytes), patience)
	if err != nil {
		return "", err
	}
	return string(m.Data), nil
}

func (p *oldParty) next() (string, error) { return receive(p.heard) }
