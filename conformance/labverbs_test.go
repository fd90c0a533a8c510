package conformance

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/kinopio-hub/kinopio-hub/v3/conformance/labapi"
)

// handle does what a step asks of a handle.
func (r *run) handle(ctx context.Context, s step, h *handle, verb string) error {
	switch verb {
	case "gets":
		return h.box.gets(ctx, s)
	case "forgets":
		h.box.forget()
		return nil
	case "ends":
		if h.end != nil {
			h.end()
		}
		return r.await(ctx, s, h.outcome)
	case "waits": // it has not ended yet
		select {
		case o := <-h.outcome:
			h.outcome <- o
			return fmt.Errorf("has ended: %v, %v", display(o.value), o.err)
		default:
			return nil
		}
	case "unsubscribe", "stop":
		h.end()
		return nil
	case "drain":
		return r.finish(ctx, s, func(ctx context.Context) outcome { return outcome{err: h.drain(ctx)} })
	case "closed":
		select {
		case <-h.done:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("is not closed after %v", r.patience)
		}
	case "release":
		h.gate.release()
		return nil
	case "runs":
		var n int
		if err := json.Unmarshal(s.Is, &n); err != nil {
			return err
		}
		return h.gate.runs(ctx, n)
	case "peak":
		h.gate.mu.Lock()
		defer h.gate.mu.Unlock()
		return same(float64(h.gate.peak), s.Is, 0)
	}
	return fmt.Errorf("a handle has no verb %q", verb)
}

// server does what a step asks of the machine that a server is.
func (r *run) server(ctx context.Context, s step, of *testServer, verb string) error {
	switch verb {
	case "stop", "start", "kick", "silence":
		_, err := ask(ctx, r.platform.lab, labapi.Command{Do: verb, Server: of.id})
		return err
	case "restart":
		if err := r.server(ctx, s, of, "stop"); err != nil {
			return err
		}
		return r.server(ctx, s, of, "start")
	case "clients":
		return eventually(ctx, func() error {
			result, err := ask(r.ctx, r.platform.lab, labapi.Command{Do: verb, Server: of.id})
			if err != nil {
				return err
			}
			if s.Are != nil && !slices.Equal(result.Names, s.Are) {
				return fmt.Errorf("got %q, want %q", result.Names, s.Are)
			}
			if s.Is == nil {
				return nil
			}
			return same(float64(result.Count), s.Is, 0)
		})
	}
	return fmt.Errorf("a server has no verb %q", verb)
}

// raw does what a step asks of the plain NATS client, which is on the server main.
func (r *run) raw(ctx context.Context, s step, verb, subject string) error {
	command := labapi.Command{Server: r.servers["main"].id, Queue: s.Queue, WaitMS: int(r.patience.Milliseconds())}
	command.Message = labapi.Message{Subject: subject, Reply: s.Reply, Headers: s.Headers, Data: bytesOf(s.Text, s.Base64)}
	switch verb {
	case "sub":
		command.Do = "subscribe"
		result, err := ask(ctx, r.platform.lab, command)
		if err != nil {
			return err
		}
		b := newBox()
		r.handles[s.As] = &handle{box: b}
		r.wg.Go(func() {
			for r.ctx.Err() == nil {
				next, err := ask(r.ctx, r.platform.lab, labapi.Command{Do: "next", Sub: result.Sub, WaitMS: 60_000})
				if err != nil {
					return // the scenario is over
				}
				b.put(wireRecord(next.Message))
			}
		})
		return nil
	case "pub":
		command.Do = "publish"
		_, err := ask(ctx, r.platform.lab, command)
		return err
	case "req":
		command.Do = "request"
		return r.finish(ctx, s, func(ctx context.Context) outcome {
			result, err := ask(ctx, r.platform.lab, command)
			if err != nil {
				return outcome{err: err}
			}
			got := wireRecord(result.Message)
			return outcome{wire: &got}
		})
	case "serve":
		command.Do = "serve"
		for _, a := range s.Answers {
			answer := labapi.Message{Data: bytesOf(a.Text, a.Base64)}
			if a.Headers != nil {
				answer.Headers = *a.Headers
			}
			command.Answers = append(command.Answers, answer)
		}
		_, err := ask(ctx, r.platform.lab, command)
		return err
	}
	return fmt.Errorf("the plain client has no verb %q", verb)
}

func wireRecord(m *labapi.Message) record {
	return record{subject: m.Subject, reply: m.Reply, headers: m.Headers, bytes: m.Data}
}

// vectors plays those of a kind over the wire, between the hub a and the plain client.
func (r *run) vectors(ctx context.Context, kind string) error {
	text, err := data.ReadFile("vectors.json")
	if err != nil {
		return err
	}
	var all vectors
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	var b string
	one := func(name string, steps ...step) error {
		for _, s := range steps {
			if err := r.step(s); err != nil {
				return fmt.Errorf("%s: %q: %w", name, s.Do, err)
			}
		}
		return nil
	}
	switch kind {
	case "encode":
		err = one("", step{Do: "raw sub vectors.out", As: "out"})
		for _, v := range all.Encode {
			if err == nil {
				b = string(v.bytes())
				err = one(v.Name, step{Do: "a pub vectors/out", Value: v.Value}, step{Do: "out gets", Messages: []wireMessage{{Text: &b}}})
			}
		}
		return err
	case "decode":
		err = one("", step{Do: "a sub vectors/in", As: "in"})
		for _, v := range all.Decode {
			if err == nil {
				err = one(v.Name, step{Do: "raw pub vectors.in", Base64: v.bytes()}, step{Do: "in gets", Values: valuesOf(v)})
			}
		}
		return err
	case "names":
		for _, n := range all.Names {
			target, pattern := "INVALID_NAME", "INVALID_NAME"
			if n.Target {
				target = ""
			}
			if n.Pattern {
				pattern = ""
			}
			at := []string{"names", n.Name}
			if err := one(n.Name, step{Do: "a pub", At: at, Value: json.RawMessage("1"), Fails: target}, step{Do: "a sub", At: at, Fails: pattern}); err != nil {
				return err
			}
		}
		return nil
	case "errors":
		for i, e := range all.Errors {
			subject := fmt.Sprintf("errors%d", i)
			headers := map[string][]string{"Nats-Service-Error": {e.Header}, "Nats-Service-Error-Code": {e.Code}}
			err := one(e.Message, step{Do: "a serve vectors/" + subject, With: "throw", Text: &e.Message},
				step{Do: "raw req vectors." + subject, Message: &wireMessage{Text: &e.Text, Headers: &headers}})
			if err != nil {
				return err
			}
		}
		return nil
	}
	return fmt.Errorf("there are no vectors %q", kind)
}

// valuesOf is what must come: null if the vector names no value.
func valuesOf(v vector) []json.RawMessage {
	if v.Value == nil {
		return []json.RawMessage{json.RawMessage("null")}
	}
	return []json.RawMessage{v.Value}
}
