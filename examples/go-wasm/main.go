//go:build js

// Command go-wasm is a Go program in a web page: it imports hub like any other program, and
// runs with Go's own wasm_exec.js. The page counts clicks, together with everybody else who
// has it open, and answers requests. See README.md.
package main

import (
	"context"
	"fmt"
	"net/url"
	"syscall/js"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

func main() {
	ctx := context.Background()
	h, err := hub.Open(ctx, hub.Config{Servers: []string{parameter("server", "ws://localhost:9222")}, Discovery: hub.Discovery{Enabled: parameter("leaf", "") != ""}})
	if err != nil {
		show("state", err.Error())
		return
	}
	h.OnStateChange(func(s hub.State) { show("state", string(s)) })
	show("state", string(h.State()))
	h.OnDiscovery(func(s hub.DiscoveryStatus) { show("leaf", fmt.Sprintf("leaf: %s %s", s.State, s.Detail)) })

	room := h.Scope("room")
	clicks := hub.TypedVariable[int](room, "clicks")
	stop, err := clicks.Watch(func(n any) { show("clicks", fmt.Sprint(n)) })
	if err != nil {
		show("state", err.Error())
		return
	}
	defer stop()

	_, err = room.Variable("greet").Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) {
		return fmt.Sprintf("hello %v, this is Go in a web page", m.Value()), nil
	})
	if err != nil {
		show("state", err.Error())
		return
	}
	show("service", "room.greet is served")

	// A callback of JavaScript must not wait, and Pub does while there is no connection.
	clicked := make(chan struct{}, 1)
	element("click").Call("addEventListener", "click", js.FuncOf(func(js.Value, []js.Value) any {
		select {
		case clicked <- struct{}{}:
		default: // the last one is still being published
		}
		return nil
	}))
	for range clicked {
		n, _ := clicks.Get()
		if err := clicks.Pub(ctx, n+1); err != nil {
			show("state", err.Error())
		}
	}
}

// parameter is one of the page's address, such as ?server=.
func parameter(name, otherwise string) string {
	page, err := url.Parse(js.Global().Get("location").Get("href").String())
	if err == nil && page.Query().Has(name) {
		return page.Query().Get(name)
	}
	return otherwise
}

func element(id string) js.Value { return js.Global().Get("document").Call("getElementById", id) }

func show(id, text string) { element(id).Set("textContent", text) }
