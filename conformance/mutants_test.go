//go:build !js

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
)

// A mutant is a scenario with one expectation that is wrong.
type mutant struct {
	scenario
	what string
}

func TestNoExpectationCanBeWrongUnnoticed(t *testing.T) {
	url, stop, err := lab.Serve()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	p := platform{"mutants", "nats", url}
	var all []mutant
	for _, f := range files(t) {
		for _, s := range f.Scenarios {
			if s.Only != "js" {
				all = append(all, mutants(s)...)
			}
		}
	}
	if len(all) < 500 {
		t.Fatalf("only %d expectations were found", len(all))
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, 16)
	for _, m := range all {
		room <- struct{}{}
		wg.Go(func() {
			defer func() { <-room }()
			m.Patience = 300
			if p.play(t.Context(), m.scenario) == nil {
				t.Errorf("%s: %s could be anything", m.Name, m.what)
			}
		})
	}
	wg.Wait()
}

// mutants are all scenarios with one wrong expectation that can be made of s.
func mutants(s scenario) (all []mutant) {
	wrong, text := json.RawMessage(`"wrong"`), "wrong"
	for i, original := range s.Steps {
		change := func(what string, how func(*step)) {
			m := mutant{s, fmt.Sprintf("%s of %s", what, original.show(i))}
			m.Steps = slices.Clone(s.Steps)
			how(&m.Steps[i])
			all = append(all, m)
		}
		value := func(what string, is bool, field func(*step) *json.RawMessage) {
			if is {
				change(what, func(s *step) { *field(s) = wrong })
			}
		}
		value("gives", original.Gives != nil, func(s *step) *json.RawMessage { return &s.Gives })
		value("until", original.Until != nil, func(s *step) *json.RawMessage { return &s.Until })
		value("is", original.Is != nil && !strings.HasSuffix(original.Do, "runs"), func(s *step) *json.RawMessage { return &s.Is })
		if original.Are != nil {
			change("are", func(s *step) { s.Are = append([]string{text}, s.Are[1:]...) })
		}
		for k := range original.Values {
			change(fmt.Sprintf("value %d", k+1), func(s *step) { s.Values = slices.Clone(s.Values); s.Values[k] = wrong })
		}
		for k, m := range original.Messages {
			for what, worse := range wrongMessages(m) {
				change(fmt.Sprintf("%s of message %d", what, k+1), func(s *step) { s.Messages = slices.Clone(s.Messages); s.Messages[k] = worse })
			}
		}
		if original.Message != nil {
			for what, worse := range wrongMessages(*original.Message) {
				change(what, func(s *step) { s.Message = &worse })
			}
		}
		if original.Range != nil {
			change("range", func(s *step) { s.Range = []int{s.Range[0] + 1, s.Range[1] + 1} })
		}
		if original.GivesAll != nil {
			change("givesAll", func(s *step) { s.GivesAll = append(slices.Clone(s.GivesAll), wrong) })
		}
		for field := range original.Has {
			change("has "+field, func(s *step) { s.Has = maps.Clone(s.Has); s.Has[field] = wrong })
		}
		if original.Fails != "" {
			change("fails", func(s *step) { s.Fails = text })
			change("that it fails", func(s *step) { s.Fails = "" })
			change("naming", func(s *step) { s.Naming = append(slices.Clone(s.Naming), text) })
		}
		if original.Service != nil {
			change("service", func(s *step) { s.Service = &serviceError{Message: text, Code: s.Service.Code} })
		}
		if original.NotBefore > 0 {
			change("notBefore", func(s *step) { s.NotBefore = 100_000 })
		}
	}
	return all
}

// wrongMessages are m, each with one part that is wrong.
func wrongMessages(m wireMessage) map[string]wireMessage {
	all, text := map[string]wireMessage{}, "wrong"
	worse := func(what string, is bool, how func(*wireMessage)) {
		if is {
			c := m
			how(&c)
			all[what] = c
		}
	}
	worse("value", m.Value != nil, func(m *wireMessage) { m.Value = json.RawMessage(`"wrong"`) })
	worse("subject", m.Subject != nil, func(m *wireMessage) { m.Subject = &text })
	worse("reply", m.Reply != nil, func(m *wireMessage) { m.Reply = &text })
	worse("number", m.Number != nil, func(m *wireMessage) { m.Number = &text })
	worse("version", m.Version != nil, func(m *wireMessage) { m.Version = &text })
	worse("text", m.Text != nil, func(m *wireMessage) { m.Text = &text })
	worse("base64", m.Base64 != nil, func(m *wireMessage) { m.Base64 = []byte("wrong") })
	worse("headers", m.Headers != nil, func(m *wireMessage) { m.Headers = &map[string][]string{"wrong": {"x"}} })
	return all
}
