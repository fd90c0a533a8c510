package hub

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"syscall/js"
	"time"
)

// defaultPage is the page, or the Worker, that the program runs in; nil in Node.
func defaultPage() Page {
	scope := js.Global()
	if scope.Get("location").Type() != js.TypeObject || scope.Get("addEventListener").Type() != js.TypeFunction {
		return nil
	}
	return &jsPage{scope: scope, permissions: map[string]js.Value{}}
}

// hiddenPulse is the time between two pings of a page that nobody looks at. Proxies end what is idle for
// a minute (nginx's default), so it is less; browsers wake up the timers of a page that was hidden for
// some minutes once a minute, and then only the server's pings keep such a proxy from it.
const hiddenPulse = 45 * time.Second

// pulseEvery is the time between the hub's own pings. The engine has none: the hub knows when the
// page is hidden, and does not believe timers that are late.
func pulseEvery(interval time.Duration, hidden bool) time.Duration {
	if hidden {
		return max(interval, hiddenPulse)
	}
	return interval
}

// knocked: this page load has knocked by itself. The page is the process.
var knocked atomic.Bool

// jsPage asks the browser. JavaScript runs one thing at a time, and so do its methods.
type jsPage struct {
	scope              js.Value
	permissions        map[string]js.Value // PermissionStatus by name, undefined for unknown ones
	onPermissionChange js.Func             // listens to changes of permissions; zero before Watch
}

// URL is the origin's where the page has an address of another kind: a blob's or about:srcdoc.
func (p *jsPage) URL() (string, bool) {
	address := p.scope.Get("location").Get("href").String()
	if origin := p.scope.Get("origin"); !strings.HasPrefix(address, "http") && origin.Type() == js.TypeString && strings.HasPrefix(origin.String(), "http") {
		address = origin.String() + "/"
	}
	return address, p.scope.Get("isSecureContext").Truthy()
}

func (p *jsPage) Hidden() bool {
	document := p.scope.Get("document")
	return document.Type() == js.TypeObject && document.Get("visibilityState").Equal(js.ValueOf("hidden"))
}

func (p *jsPage) MayPrompt() bool { return knocked.CompareAndSwap(false, true) }

func (p *jsPage) Permission(ctx context.Context, name string) string {
	status, known := p.permissions[name]
	if !known {
		var err error
		if status, err = p.query(ctx, name); err != nil && ctx.Err() != nil {
			return "prompt" // the browser takes its time: nothing may be done by surprise
		}
		p.permissions[name] = status
	}
	if status.Type() != js.TypeObject {
		return ""
	}
	return status.Get("state").String()
}

func (p *jsPage) query(ctx context.Context, name string) (js.Value, error) {
	status, err := await(ctx, func() js.Value {
		return p.scope.Get("navigator").Get("permissions").Call("query", map[string]any{"name": name})
	})
	if err == nil && status.Type() == js.TypeObject && p.onPermissionChange.Truthy() {
		_ = try(func() { status.Call("addEventListener", "change", p.onPermissionChange) })
	}
	return status, err
}

func (p *jsPage) Prompt(ctx context.Context, address string) error {
	if strings.HasPrefix(address, "ws") {
		return p.promptBySocket(ctx, address)
	}
	abort := p.scope.Get("AbortController").New()
	defer abort.Call("abort")
	_, err := await(ctx, func() js.Value {
		return p.scope.Call("fetch", address, map[string]any{
			"mode": "no-cors", "credentials": "omit", "cache": "no-store", "signal": abort.Get("signal"),
		})
	})
	return err
}

func (p *jsPage) promptBySocket(ctx context.Context, address string) (err error) {
	defer caught(&err)
	socket := p.scope.Get("WebSocket").New(address) // throws for mixed content
	ended := make(chan error, 1)
	end := func(err error) js.Func {
		return js.FuncOf(func(js.Value, []js.Value) any {
			select {
			case ended <- err:
			default:
			}
			return nil
		})
	}
	opened, failed := end(nil), end(errors.New("the WebSocket did not open"))
	socket.Set("onopen", opened)
	socket.Set("onerror", failed)
	defer func() {
		socket.Set("onopen", js.Null())
		socket.Set("onerror", js.Null())
		opened.Release()
		failed.Release()
		socket.Call("close", 1000)
	}()
	select {
	case err = <-ended:
	case <-ctx.Done():
		err = ctx.Err()
	}
	return err
}

func (p *jsPage) Watch(fn func(PageEvent)) (stop func()) {
	type listener struct {
		target   js.Value
		name     string
		callback js.Func
	}
	var listeners []listener
	stopped := false
	// Each has a name of its own: who wraps listeners may call them without their event. Where one is
	// refused, the hub does without.
	listen := func(target js.Value, name string, callback func()) {
		l := listener{target, name, js.FuncOf(func(js.Value, []js.Value) any {
			if !stopped {
				callback()
			}
			return nil
		})}
		if err := try(func() { target.Call("addEventListener", name, l.callback) }); err != nil {
			l.callback.Release()
			return
		}
		listeners = append(listeners, l)
	}
	p.onPermissionChange = js.FuncOf(func(js.Value, []js.Value) any {
		fn(PagePermission)
		return nil
	})
	listen(p.scope, "online", func() { fn(PageOnline) })
	if document := p.scope.Get("document"); document.Type() == js.TypeObject {
		onShown := func() { fn(PageShown) }
		listen(p.scope, "pageshow", onShown)
		listen(document, "resume", onShown)
		listen(document, "visibilitychange", func() {
			if p.Hidden() {
				fn(PageHidden)
			} else {
				onShown()
			}
		})
	}
	return func() {
		stopped = true
		for _, l := range listeners {
			// One that cannot be removed stays, with nothing to do.
			if try(func() { l.target.Call("removeEventListener", l.name, l.callback) }) == nil {
				l.callback.Release()
			}
		}
		for _, status := range p.permissions {
			if status.Type() == js.TypeObject {
				_ = try(func() { status.Call("removeEventListener", "change", p.onPermissionChange) })
			}
		}
		p.onPermissionChange.Release()
		p.onPermissionChange = js.Func{}
	}
}

// await calls fn and waits for the promise that it returns. What is thrown is an error.
func await(ctx context.Context, fn func() js.Value) (result js.Value, err error) {
	defer caught(&err)
	type outcome struct {
		value js.Value
		err   error
	}
	settled := make(chan outcome, 1)
	var release func()
	first := func(failed bool) js.Func {
		return js.FuncOf(func(_ js.Value, args []js.Value) any {
			args = append(args, js.Undefined()) // whoever wraps promises may leave it out
			o := outcome{value: args[0]}
			if failed {
				o = outcome{err: js.Error{Value: args[0]}}
			}
			settled <- o
			release()
			return nil
		})
	}
	resolved, rejected := first(false), first(true)
	release = func() {
		resolved.Release()
		rejected.Release()
	}
	called := false
	defer func() {
		if !called {
			release()
		}
	}()
	fn().Call("then", resolved, rejected)
	called = true
	select {
	case o := <-settled:
		return o.value, o.err
	case <-ctx.Done():
		return js.Undefined(), ctx.Err() // the promise lets go of the functions when it settles
	}
}

// caught makes an error of what JavaScript threw.
func caught(err *error) {
	switch thrown := recover().(type) {
	case nil:
	case js.Error:
		*err = thrown
	case *js.ValueError: // there is no such object in this browser
		*err = thrown
	case string: // or no such function, which syscall/js says so
		if !strings.HasPrefix(thrown, "syscall/js: ") {
			panic(thrown)
		}
		*err = errors.New(thrown)
	default:
		panic(thrown)
	}
}

// try calls fn. What is thrown is an error.
func try(fn func()) (err error) {
	defer caught(&err)
	fn()
	return nil
}
