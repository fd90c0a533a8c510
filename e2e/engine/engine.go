// Package engine drives web browsers of three engines by one interface: Chromium by its own protocol,
// Firefox by WebDriver BiDi, and WebKitGTK's MiniBrowser by WebDriver. It is for tests.
//
// Each browser has a profile and a home of its own. Certificates are checked as for any user; what a
// test's server has is trusted because its root is: in the profile of Chromium and Firefox, and in what
// MiniBrowser sees as the system's store.
package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// Name is the name of an engine.
type Name string

const (
	Chromium Name = "chromium"
	Firefox  Name = "firefox"
	WebKit   Name = "webkit"
)

// Names are all engines.
var Names = []Name{Chromium, Firefox, WebKit}

// Options are those of every engine.
type Options struct {
	// Home is an empty folder for the browser's profile and all else that it keeps. Whoever opens the
	// browser removes it when the browser is closed.
	Home string
	// RootFiles are PEM files, each with a root certificate that the browser trusts.
	RootFiles []string
	// Console is called with each line that a developer would read in the console, one at a time;
	// as «kind: text»; of what nobody caught the kind is «uncaught». May be nil. WebKit tells nothing: WebDriver
	// has no console, and MiniBrowser writes none where it is driven.
	Console func(line string)
	// QUIC lets Chromium speak it, which WebTransport takes. The others always do.
	QUIC bool
	// OwnPace keeps Firefox's habit to wait before it opens a WebSocket to a place that refused one a moment ago, by
	// half longer each time; other WebSockets to the same address wait with it. Tests that have many
	// servers on one address do without.
	OwnPace bool
	// Prefs are further preferences of Firefox: booleans, numbers and texts.
	Prefs map[string]any
}

// A Page is a browser with one tab that is driven. Its methods may be called by one goroutine at a
// time. ctx ends each of them; what the browser was asked to do may go on.
type Page interface {
	// Version is the name and version of the browser, such as "Firefox 153.0".
	Version() string
	// Navigate opens url, and returns when the page has loaded.
	Navigate(ctx context.Context, url string) error
	// Evaluate returns the value of a JavaScript expression as JSON; undefined is null, and a promise is
	// awaited. The error has what the page threw.
	Evaluate(ctx context.Context, expression string) (json.RawMessage, error)
	// Click waits for the element that a CSS selector finds, and presses it in its middle with a pointer.
	Click(ctx context.Context, selector string) error
	// Hide makes the page hidden, by another tab in front of it or a minimized window; Show shows it again.
	Hide(ctx context.Context) error
	Show(ctx context.Context) error
	// Close ends the browser, and returns when all of its processes have ended.
	Close(ctx context.Context) error
}

// A Permitter is a Page whose browser can be told what its user has answered: state is "granted", "denied" or "prompt", and the permission's name that
// of navigator.permissions.
type Permitter interface {
	Permit(ctx context.Context, name, state, origin string) error
}

// Open starts a browser. ctx ends the start, not the browser.
func Open(ctx context.Context, name Name, o Options) (Page, error) {
	if o.Console == nil {
		o.Console = func(string) {}
	}
	switch name {
	case Chromium:
		return OpenChromium(ctx, o)
	case Firefox:
		return openFirefox(ctx, o)
	case WebKit:
		return openWebKit(ctx, o)
	}
	return nil, fmt.Errorf("open the browser %q: want one of %v", name, Names)
}

// text is an expression whose value is that of another as a JSON text, in a promise.
func text(expression string) string {
	return "(async () => JSON.stringify(await (" + expression + "\n)) ?? \"null\")()"
}

// middle is an expression of the place [x, y] of the middle of an element, in the viewport, as soon as it can be pressed.
func middle(selector string) (string, error) {
	quoted, err := json.Marshal(selector)
	if err != nil {
		return "", fmt.Errorf("the selector %q: %w", selector, err)
	}
	return fmt.Sprintf(`new Promise((yes) => {
		const look = () => {
			const element = document.querySelector(%s);
			if (element && !element.disabled && element.getClientRects().length) {
				element.scrollIntoView({ block: "center", inline: "center", behavior: "instant" });
				const { x, y, width, height } = element.getBoundingClientRect();
				yes([Math.floor(x + width / 2), Math.floor(y + height / 2)]);
			} else setTimeout(look, 15);
		};
		look();
	})`, quoted), nil
}

// placeOf waits for an element, and returns the middle of it.
func placeOf(ctx context.Context, evaluate func(context.Context, string) (json.RawMessage, error), selector string) (place [2]int, err error) {
	expression, err := middle(selector)
	if err != nil {
		return place, err
	}
	value, err := evaluate(ctx, expression)
	if err != nil {
		return place, fmt.Errorf("find %s: %w", selector, err)
	}
	if err := json.Unmarshal(value, &place); err != nil {
		return place, fmt.Errorf("find %s: %w", selector, err)
	}
	return place, nil
}

// press are the actions of WebDriver that press the main button at a place of the viewport; both of its protocols
// share them.
func press(place [2]int) []any {
	return []any{map[string]any{
		"type": "pointer", "id": "mouse", "parameters": map[string]any{"pointerType": "mouse"},
		"actions": []any{
			map[string]any{"type": "pointerMove", "x": place[0], "y": place[1], "duration": 0},
			map[string]any{"type": "pointerDown", "button": 0},
			map[string]any{"type": "pointerUp", "button": 0},
		},
	}}
}

// homes are the environment variables that make a folder the home of a program.
func homes(home string) []string {
	return []string{"HOME=" + home, "XDG_CONFIG_HOME=" + home + "/.config", "XDG_CACHE_HOME=" + home + "/.cache", "XDG_DATA_HOME=" + home + "/.local/share"}
}

// major is the version without what changes often.
func major(version string) string {
	parts := strings.SplitN(version, ".", 3)
	if len(parts) < 2 {
		return version
	}
	return parts[0] + "." + parts[1]
}
