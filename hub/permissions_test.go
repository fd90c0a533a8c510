//go:build !js

package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// as is the URL of s for a user.
func as(user string, s *server.Server) string {
	return strings.Replace(s.ClientURL(), "nats://", "nats://"+user+":p@", 1)
}

// permitting are users: u with these permissions, and two who may do everything.
func permitting(p *server.Permissions) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: p}, {Username: "admin", Password: "p"}, {Username: "bridge", Password: "p"}}
	}
}

// only permits what is named.
func only(publish, subscribe []string) *server.Permissions {
	set := func(allow []string) *server.SubjectPermission {
		if len(allow) == 0 {
			return &server.SubjectPermission{Deny: []string{">"}}
		}
		return &server.SubjectPermission{Allow: allow}
	}
	return &server.Permissions{Publish: set(publish), Subscribe: set(subscribe)}
}

// complaints are what a hub reports.
func complaints(h *hub.Hub) chan error {
	c := make(chan error, 1000)
	h.OnError(func(err error) { c <- err })
	return c
}

// quickly bounds what has to be known at once, far below the time in which it would end by itself.
func quickly(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// What the server denies is an error of who asked for it, at once; nothing else comes of it.
func TestWhatTheServerDeniesIsAnErrorOfWhoAsked(t *testing.T) {
	s := startServer(t, permitting(only([]string{"good.>", "_INBOX.>"}, []string{"good.>", "_INBOX.>"})))
	var log warnings
	h := openHub(t, hub.Config{Servers: []string{as("u", s)}, Timeout: time.Minute, Logger: slog.New(&log)})
	told := complaints(h)
	bad, good := h.Scope("bad").Variable("v"), h.Scope("good").Variable("v")
	want := func(what string, err error, publish bool, subject, queue string) {
		t.Helper()
		var e *hub.PermissionError
		if hub.Code(err) != "PERMISSION_DENIED" || !errors.Is(err, hub.ErrPermission) || !errors.As(err, &e) {
			t.Errorf("%s gave %v, want a PermissionError", what, err)
			return
		}
		if e.Publish != publish || e.Subject != subject || e.Queue != queue || e.Server != s.ClientURL() || !strings.Contains(err.Error(), fmt.Sprintf("%q", subject)) {
			t.Errorf("%s gave %+v (%v)", what, e, err)
		}
	}
	_, err := bad.Sub(quickly(t), func(*hub.Message) {})
	want("sub", err, false, "bad.v", "")
	_, err = bad.Sub(quickly(t), func(*hub.Message) {}, hub.SubOptions{Queue: "q"})
	want("sub in a group", err, false, "bad.v", "q")
	_, err = bad.Sub(quickly(t), func(*hub.Message) {}, hub.SubOptions{Arrival: true})
	want("sub with arrival order", err, false, "bad.v", "")
	_, err = h.Scope("bad").Variable("*").Sub(quickly(t), func(*hub.Message) {})
	want("sub to a wildcard", err, false, "bad.*", "")
	_, err = bad.Serve(quickly(t), func(context.Context, *hub.Message) (any, error) { return nil, nil })
	want("serve", err, false, "bad.v", "bad.v.service")
	_, err = bad.Req(quickly(t), 1)
	want("req", err, true, "bad.v", "")
	_, err = bad.ReqMany(quickly(t), 1, hub.ReqManyOptions{Window: time.Minute})
	want("reqMany", err, true, "bad.v", "")
	sub, err := h.Subscribe("bad.plain", hub.SubOptions{}, func(*hub.Message) {})
	if err != nil {
		t.Fatal(err)
	}
	want("ready", sub.Ready(quickly(t)), false, "bad.plain", "")

	// Nobody waits for these: they are told once.
	for range 3 {
		bad.Pub(quickly(t), "x")
	}
	h.Flush(quickly(t))
	want("a subscription that nobody waits for", <-told, false, "bad.plain", "")
	want("pub", <-told, true, "bad.v", "")
	if value := bad.Value(); value != nil {
		t.Errorf("the value is %v after it was not permitted", value)
	}
	want("a value", <-told, false, "bad.v", "")

	// What is permitted works all the same.
	if _, err := good.Serve(quickly(t), func(_ context.Context, m *hub.Message) (any, error) { return m.Value(), nil }); err != nil {
		t.Error(err)
	}
	if m, err := good.Req(quickly(t), 7); err != nil || m.Value() != 7.0 {
		t.Error(m, err)
	}
	if len(told) > 0 {
		t.Errorf("told of %v, too", <-told)
	}
}

// A user without an inbox is told so once, and at once; everything that needs none goes on.
func TestWithoutAnInboxOnlyWhatNeedsItFails(t *testing.T) {
	none := only([]string{"a.>"}, []string{"a.>"})
	sys := startSystemWith(t, permitting(none), permitting(none))
	h := openHub(t, hub.Config{Servers: []string{as("u", sys.backbone)}, Timeout: time.Minute})
	told := complaints(h)
	got := make(chan string, 100)
	if _, err := h.Scope("a").Variable("*").Sub(quickly(t), func(m *hub.Message) { got <- string(m.Data) }); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		_, err := h.Scope("a").Variable("f").Req(quickly(t), i)
		if hub.Code(err) != "PERMISSION_DENIED" || !strings.Contains(err.Error(), "_INBOX.") || !strings.Contains(err.Error(), "InboxPrefix") {
			t.Errorf("request %d gave %v, want what is missing and what to do", i, err)
		}
	}
	for range 3 {
		start := time.Now()
		err := h.MoveTo(as("u", sys.leaf))
		if !errors.Is(err, hub.ErrMove) || !errors.Is(err, hub.ErrPermission) {
			t.Errorf("a move gave %v, want that it is not permitted", err)
		}
		if took := time.Since(start); took > 8*time.Second {
			t.Errorf("a move that cannot be made took %v", took)
		}
	}
	if err := h.Scope("a").Variable("v").Pub(quickly(t), "after"); err != nil {
		t.Fatal(err)
	}
	for m := ""; m != "after"; { // requests are heard, too
		select {
		case m = <-got:
		case <-quickly(t).Done():
			t.Fatal("what is permitted does not arrive any more")
		}
	}
	if err := <-told; len(told) > 0 || hub.Code(err) != "PERMISSION_DENIED" || !strings.Contains(err.Error(), "docs/permissions.md") {
		t.Errorf("told of %v and %d more, want one complaint", err, len(told))
	}
}

// With a prefix of its own a hub needs no permission for the inboxes of others.
func TestInboxPrefix(t *testing.T) {
	mine := only([]string{"a.>", "_INBOX_u.>"}, []string{"a.>", "_INBOX_u.>"})
	sys := startSystemWith(t, permitting(mine), permitting(mine))
	h := openHub(t, hub.Config{Servers: []string{as("u", sys.backbone)}, InboxPrefix: "_INBOX_u"})
	told := complaints(h)
	replies := make(chan string, 100)
	if _, err := h.Scope("a").Variable("f").Serve(quickly(t), func(_ context.Context, m *hub.Message) (any, error) {
		replies <- m.Reply
		return "answer", nil
	}); err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		if m, err := h.Scope("a").Variable("f").Req(quickly(t), nil); err != nil || m.Value() != "answer" || m.Header != nil {
			t.Errorf("%v, %v", m, err)
		}
		if reply := <-replies; !strings.HasPrefix(reply, "_INBOX_u.") {
			t.Errorf("answers are wanted at %q", reply)
		}
		if i == 0 {
			if err := h.MoveTo(as("u", sys.leaf)); err != nil {
				t.Error(err)
			}
		}
	}
	if len(told) > 0 {
		t.Errorf("told of %v", <-told)
	}
	for _, bad := range []string{"a b", "a.*", ">", "a..b", "$SYS", "_KH", "_KH.x", strings.Repeat("x", 300)} {
		if _, err := hub.Open(context.Background(), hub.Config{InboxPrefix: bad, ManualConnect: true}); hub.Code(err) != "INVALID_CONFIG" || !strings.Contains(err.Error(), "InboxPrefix") {
			t.Errorf("InboxPrefix %q gave %v", bad, err)
		}
	}
}

// However many subscriptions both servers deny, a move is made.
func TestWhatBothServersDenyPreventsNoMove(t *testing.T) {
	some := only([]string{">"}, []string{"good", "_INBOX.>"})
	sys := startSystemWith(t, permitting(some), permitting(some))
	h := openHub(t, hub.Config{Servers: []string{as("u", sys.backbone)}})
	for i := range 300 {
		if _, err := h.Subscribe(fmt.Sprintf("bad.%d", i), hub.SubOptions{}, func(*hub.Message) {}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.Subscribe("good", hub.SubOptions{}, func(*hub.Message) {}); err != nil {
		t.Fatal(err)
	}
	h.Flush(soon(t))
	for i := range 4 {
		if err := h.MoveTo(as("u", []*server.Server{sys.leaf, sys.backbone}[i%2])); err != nil {
			t.Errorf("move %d: %v", i, err)
		}
	}
}

// A client that serves one subject, and so sees where answers are wanted, can answer nobody else's requests,
// nor take part in a move.
func TestWhoServesOneSubjectForgesNothing(t *testing.T) {
	sys := startSystem(t, 5*time.Millisecond)
	h := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	spy, err := nats.Connect(sys.backbone.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer spy.Close()
	seen := make(chan string, 100)
	if _, err := spy.Subscribe("spy.f", func(m *nats.Msg) {
		seen <- m.Reply
		m.Respond([]byte("mine"))
	}); err != nil {
		t.Fatal(err)
	}
	honest := openHub(t, hub.Config{Servers: []string{sys.backbone.ClientURL()}})
	if _, err := honest.Scope("bank").Variable("balance").Serve(soon(t), func(context.Context, *hub.Message) (any, error) {
		time.Sleep(20 * time.Millisecond)
		return "honest", nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := spy.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Scope("spy").Variable("f").Req(soon(t), nil); err != nil {
		t.Fatal(err)
	}
	reply := <-seen
	inbox, token := reply[:strings.LastIndexByte(reply, '.')+1], reply[strings.LastIndexByte(reply, '.')+1:]
	if len(token) < 8 {
		t.Errorf("the token %q can be guessed", token)
	}
	ctx, stop := context.WithCancel(context.Background())
	forged := make(chan struct{})
	go func() {
		defer close(forged)
		name := strings.Split(inbox, ".")[1]
		for i := 1; ctx.Err() == nil; i++ {
			for _, guess := range []string{fmt.Sprint(i % 100), fmt.Sprintf("%c%s", "0123456789abcdefghijklmnopqrstuvwxyz"[i%36], token[1:]), token} {
				spy.Publish(inbox+guess, []byte("forged"))
			}
			for mark := range 20 { // the marks of moves
				spy.Publish(fmt.Sprintf("_INBOX.%s.%d", name, mark), nil)
				spy.Publish(fmt.Sprintf("_INBOX.%s.1.-%d", name, mark), nil)
				spy.Publish(fmt.Sprintf("_INBOX.%s.x.%d", name, mark), nil)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	tokens := map[string]bool{}
	for range 20 {
		m, err := h.Scope("bank").Variable("balance").Req(soon(t), nil)
		if err != nil || m.Value() != "honest" {
			t.Errorf("the answer is %v, %v", m.Value(), err)
		}
		if _, err := h.Scope("spy").Variable("f").Req(soon(t), nil); err != nil {
			t.Fatal(err)
		}
		tokens[<-seen] = true
	}
	if len(tokens) != 20 {
		t.Errorf("%d different tokens in 20 requests", len(tokens))
	}
	got := make(chan any, 4000)
	if _, err := h.Scope("n").Variable("n").Sub(soon(t), func(m *hub.Message) { got <- m.Value() }); err != nil {
		t.Fatal(err)
	}
	sending := make(chan int)
	publishing, enough := context.WithCancel(ctx)
	go func() {
		n := 0
		for ; publishing.Err() == nil && n < 3000; n++ {
			if honest.Scope("n").Variable("n").Pub(ctx, n) != nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
		sending <- n
	}()
	for i := range 4 {
		if err := h.MoveTo([]string{sys.leaf.ClientURL(), sys.backbone.ClientURL()}[i%2]); err != nil {
			t.Errorf("move %d: %v", i, err)
		}
	}
	enough()
	for i := range <-sending {
		if err := arrives(got, float64(i)); err != nil {
			t.Fatal(err)
		}
	}
	stop()
	<-forged
}

// arrives is an error unless want comes.
func arrives(got <-chan any, want any) error {
	select {
	case x := <-got:
		if x != want {
			return fmt.Errorf("%v came, want %v", x, want)
		}
		return nil
	case <-time.After(4 * time.Second):
		return fmt.Errorf("%v did not come", want)
	}
}
