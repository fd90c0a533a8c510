package hub

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/plainjson"
)

// A Scope is a part of the names: everything below one prefix.
type Scope struct {
	hub  *Hub
	name string
	err  error
}

// Scope returns the names below name. A dot in it goes down one more level. A name that
// cannot be part of a subject makes every operation below it fail with ErrInvalidName.
func (h *Hub) Scope(name string) *Scope {
	return &Scope{hub: h, name: name, err: checkName(name, true)}
}

// Scope returns the names below name in s.
func (s *Scope) Scope(name string) *Scope {
	return &Scope{hub: s.hub, name: s.name + "." + name, err: errors.Join(s.err, checkName(name, true))}
}

// PubOptions goes with a value or a request that is sent.
type PubOptions struct {
	Header Header
	// Reply is a subject where answers to a published value are wanted.
	Reply string
	// Distinct does not publish a value that equals the present one.
	Distinct bool
}

// ServeOptions says how requests are served. Its zero value shares them with every other
// service of the same variable, and handles up to 64 at a time.
type ServeOptions struct {
	// Queue is the queue group. Default: the variable's subject + ".service".
	Queue string
	// Concurrency is how many requests are handled side by side. Default 64.
	Concurrency int
}

// one returns the only element of an optional argument.
func one[T any](options []T) T {
	var zero T
	if len(options) == 0 {
		return zero
	}
	return options[0]
}

// Pub sends value to everyone who listens to v. It returns when a link has it (Hub.Flush
// when the server has it); without a connection it waits for one, until ctx ends or for
// Config.Timeout.
func (v *Variable) Pub(ctx context.Context, value any, options ...PubOptions) error {
	if v.err != nil {
		return v.err
	}
	data, err := v.hub.encode(value)
	if err != nil {
		return fmt.Errorf("publish %s: %w", v.subject, err)
	}
	return v.PubBytes(ctx, data, options...)
}

// PubBytes is Pub of bytes, which it takes without an allocation: a []byte that becomes the any
// of Pub costs one.
func (v *Variable) PubBytes(ctx context.Context, data []byte, options ...PubOptions) error {
	if v.err != nil {
		return v.err
	}
	if v.noPub != nil {
		return v.noPub
	}
	opt := one(options)
	m := [1]OutMsg{{Subject: v.subject, Reply: opt.Reply, Header: opt.Header, Data: data}}
	if err := v.hub.checkMessage(&m[0]); err != nil {
		return fmt.Errorf("publish %s: %w", v.subject, err)
	}
	if err := v.hub.checkLength(v.subject, len(opt.Reply)); err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	r, id := v.publish(ctx, &m, opt.Distinct)
	if r == handedOver {
		return nil
	}
	err := v.hub.wait(ctx, r)
	if id != 0 {
		v.settle(id, err)
	}
	if err != nil {
		return fmt.Errorf("publish %s: %w", v.subject, err)
	}
	return nil
}

// Sub calls fn with each message on v, in order, on a goroutine of its own, and returns when
// the server knows, or ctx has ended. See [Hub.Subscribe].
func (v *Variable) Sub(ctx context.Context, fn func(*Message), options ...SubOptions) (*Subscription, error) {
	if v.err != nil {
		return nil, v.err
	}
	opt := one(options)
	plain := opt.Queue == ""
	opt.awaited = true
	s, err := v.hub.subscribe(v.subject, opt, fn, func() {
		if plain {
			v.listened(-1)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("subscribe %s: %w", v.subject, err)
	}
	if plain {
		v.listened(1)
	}
	return v.hub.ready(ctx, s, "subscribe")
}

// ready returns s when the server has it; otherwise it ends s.
func (h *Hub) ready(ctx context.Context, s *Subscription, what string) (*Subscription, error) {
	err := s.Ready(ctx)
	if err == nil {
		return s, nil
	}
	s.Unsubscribe()
	if ctx.Err() != nil && !errors.Is(err, ErrPermission) {
		what = "given up before the server had it, and ended: " + what
	}
	return nil, fmt.Errorf("%s %s: %w", what, s.key.subject, err)
}

// Req sends value as a request and returns the first answer. Without a deadline in ctx it
// waits for Config.Timeout. See [Hub.Request] for its errors.
func (v *Variable) Req(ctx context.Context, value any, options ...PubOptions) (*Message, error) {
	fail := func(err error) (*Message, error) { return nil, fmt.Errorf("request %s: %w", v.subject, err) }
	if v.err != nil {
		return nil, v.err
	}
	data, err := v.hub.encode(value)
	if err != nil {
		return fail(err)
	}
	if err := v.hub.checkLength(v.subject, inboxNames); err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	v.written()
	timeout := v.hub.cfg.Timeout
	if deadline, ok := ctx.Deadline(); ok {
		timeout = untilDeadline(deadline)
	}
	type result struct {
		m   *Message
		err error
	}
	answer := make(chan result, 1)
	start := time.Now()
	cancel := v.hub.request(ctx, OutMsg{Subject: v.subject, Header: one(options).Header, Data: data}, timeout, &request{done: func(m *Message, err error) {
		if m != nil {
			m = new(*m)
		}
		answer <- result{m, err}
	}})
	var r result
	select {
	case r = <-answer:
	case <-ctx.Done():
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			cancel()
			return fail(ctxError(ctx, errUnanswered, start))
		}
		r = <-answer // it has the same deadline, and knows whether the request was sent
	}
	if _, bounded := ctx.Deadline(); bounded && timeout <= time.Since(start) && !errors.Is(r.err, context.DeadlineExceeded) && (errors.Is(r.err, ErrTimeout) || isDisconnected(r.err)) {
		r.err = fmt.Errorf("%w: %w", r.err, context.DeadlineExceeded)
	}
	if r.err != nil {
		return fail(r.err)
	}
	return r.m, nil
}

var errUnanswered = errors.New("no answer")

// ReqManyOptions says when enough answers have come.
type ReqManyOptions struct {
	Header Header
	// Max answers are enough. 0: all that come within Window.
	Max int
	// Window is the time for answers. Default Config.Timeout.
	Window time.Duration
}

// ReqMany sends value as a request and returns the answers of everybody who answers in time,
// in the order of their arrival; none is no error, but nobody being there is ErrNoResponders.
func (v *Variable) ReqMany(ctx context.Context, value any, options ...ReqManyOptions) ([]*Message, error) {
	if v.err != nil {
		return nil, v.err
	}
	opt := one(options)
	if opt.Max < 0 {
		return nil, configError("Max", opt.Max, "a positive number, or 0 for no limit")
	}
	data, err := v.hub.encode(value)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", v.subject, err)
	}
	v.written()
	var answers []*Message // written on the link's goroutine, read after done
	done := make(chan error, 1)
	start := time.Now()
	cancel := v.hub.requestMany(ctx, OutMsg{Subject: v.subject, Header: opt.Header, Data: data}, opt.Window, opt.Max,
		func(m *Message) { answers = append(answers, new(*m)) },
		func(err error) { done <- err })
	select {
	case err = <-done:
	case <-ctx.Done():
		cancel()
		<-done // so that answers is no longer written
		err = ctxError(ctx, errUnanswered, start)
	}
	if err != nil {
		return answers, fmt.Errorf("request %s: %w", v.subject, err)
	}
	return answers, nil
}

// Serve answers requests to v with what fn returns; nil is the empty answer. An error becomes
// an answer that says so, which fails the request, and so does a panic, which the logger and OnError hear of,
// too. It returns when the server knows. ctx bounds only that: when it ends before, there is no service, and the
// error says so; when it ends later, the service goes on. fn's ctx ends with the hub. The handle's Unsubscribe
// ends the service, which then answers what has come; its Drain also waits for that.
func (v *Variable) Serve(ctx context.Context, fn func(context.Context, *Message) (any, error), options ...ServeOptions) (*Subscription, error) {
	if v.err != nil {
		return nil, v.err
	}
	opt := one(options)
	if opt.Queue == "" {
		opt.Queue = v.subject + ".service"
	}
	if opt.Concurrency < 0 {
		return nil, configError("Concurrency", opt.Concurrency, "a positive number, or 0 for the default 64")
	}
	if opt.Concurrency == 0 {
		opt.Concurrency = 64
	}
	if err := v.hub.checkLength(v.subject, len(opt.Queue)); err != nil {
		return nil, fmt.Errorf("serve: %w", err)
	}
	v.written()
	service := newService(v.hub, opt.Concurrency, fn)
	stop := context.AfterFunc(v.hub.ctx, service.close)
	s, err := v.hub.subscribe(v.subject, SubOptions{Queue: opt.Queue, awaited: true, served: &serving{service.refuse, service.wait}}, func(m *Message) {
		if m.Reply != "" {
			service.put(m)
		}
	}, func() {
		stop()
		service.end()
	})
	if err != nil {
		stop()
		return nil, fmt.Errorf("serve %s: %w", v.subject, err)
	}
	return v.hub.ready(ctx, s, "serve")
}

// serveOne runs a handler, and answers, also when that ends its goroutine.
func (h *Hub) serveOne(m *Message, fn func(context.Context, *Message) (any, error)) {
	var out OutMsg
	returned := false
	defer func() {
		if !returned {
			out = errorReply(errors.New("the handler ended its goroutine"))
		}
		h.respondTo(m, out)
	}()
	out = h.handle(m, fn)
	returned = true
}

// handle makes the answer of what a handler returns, or of its panic.
func (h *Hub) handle(m *Message, fn func(context.Context, *Message) (any, error)) (out OutMsg) {
	defer func() {
		if p := recover(); p != nil {
			h.panicked("service "+m.Subject, p)
			out = errorReply(fmt.Errorf("panic: %v", p))
		}
	}()
	value, err := fn(h.ctx, m)
	if err == nil {
		out.Data, err = h.encode(value)
	}
	if err != nil {
		out = errorReply(err)
	}
	return out
}

// respondTo answers a request.
func (h *Hub) respondTo(m *Message, out OutMsg) {
	err := h.wait(h.ctx, m.Responder().send(out))
	if errors.Is(err, ErrMessageTooLarge) {
		h.report(fmt.Errorf("answer a request to %s: %w", m.Subject, err))
		err = h.wait(h.ctx, m.Responder().send(errorReply(err)))
	}
	if err != nil && !errors.Is(err, ErrDisposed) {
		h.report(fmt.Errorf("answer a request to %s: %w", m.Subject, err))
	}
}

// errorReply is what a requester gets when the handler failed: the JSON object that
// kinopio-hub 2.x sends, and the headers of NATS services.
func errorReply(err error) OutMsg {
	message := err.Error()
	code := "500"
	if e, ok := errors.AsType[*ServiceError](err); ok && e.Code != "" {
		code, message = e.Code, e.Message
	}
	return OutMsg{
		Header: Header{headerServiceError: {oneLine(message)}, headerServiceErrorCode: {code}},
		Data:   []byte(`{"error":true,"message":` + plainjson.Quote(message) + `}`),
	}
}

// oneLine makes s fit for a header.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// untilDeadline is never 0, which would mean the default.
func untilDeadline(deadline time.Time) time.Duration {
	return max(time.Until(deadline), time.Nanosecond)
}
