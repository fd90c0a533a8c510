package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// firefoxPrefs keep Firefox from talking to anybody but the test's page. What it would change for who drives it
// stays as users have it.
const firefoxPrefs = `user_pref("app.normandy.enabled", false);
user_pref("app.update.disabledForTesting", true);
user_pref("browser.backup.scheduled.enabled", false);
user_pref("browser.aboutwelcome.enabled", false);
user_pref("browser.shell.checkDefaultBrowser", false);
user_pref("datareporting.policy.dataSubmissionEnabled", false);
user_pref("datareporting.policy.firstRunURL", "");
user_pref("extensions.update.enabled", false);
user_pref("messaging-system.rsexperimentloader.enabled", false);
user_pref("network.captive-portal-service.enabled", false);
user_pref("network.connectivity-service.enabled", false);
user_pref("network.dns.localDomains", "page.test,leaf.local");
user_pref("remote.prefs.recommended", false);
user_pref("services.settings.server", "data:,#remote-settings-dummy/v1");
user_pref("startup.homepage_welcome_url", "");
user_pref("termsofuse.bypassNotification", true);
user_pref("toolkit.telemetry.enabled", false);
`

type firefox struct {
	*bidi
	program *program
	tab     string // its browsing context
	version string
	console func(string)
}

func openFirefox(ctx context.Context, o Options) (_ Page, err error) {
	path, err := find("firefox-esr", "firefox")
	if err != nil {
		return nil, fmt.Errorf("open Firefox (Debian: apt-get install firefox-esr): %w", err)
	}
	profile := filepath.Join(o.Home, "profile")
	if err := os.MkdirAll(profile, 0o700); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	prefs := firefoxPrefs
	if !o.OwnPace {
		prefs += "user_pref(\"network.websocket.delay-failed-reconnects\", false);\n"
	}
	for _, name := range slices.Sorted(maps.Keys(o.Prefs)) {
		value, err := json.Marshal(o.Prefs[name])
		if err != nil {
			return nil, fmt.Errorf("open Firefox: preference %s: %w", name, err)
		}
		prefs += fmt.Sprintf("user_pref(%q, %s);\n", name, value)
	}
	if err := os.WriteFile(filepath.Join(profile, "user.js"), []byte(prefs), 0o600); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	if len(o.RootFiles) > 0 {
		if err := trustInNSS(ctx, profile, o.RootFiles); err != nil {
			return nil, fmt.Errorf("open Firefox: %w", err)
		}
	}
	hear, found := once(func(line string) string {
		_, url, _ := strings.Cut(line, "WebDriver BiDi listening on ")
		return url
	})
	p, err := start(append(homes(o.Home), "MOZ_HEADLESS_WIDTH=1280", "MOZ_HEADLESS_HEIGHT=800", "MOZ_CRASHREPORTER_DISABLE=1"), hear,
		path, "--headless", "--no-remote", "--profile", profile, "--remote-debugging-port", "0", "about:blank")
	if err != nil {
		return nil, err
	}
	f := &firefox{program: p, console: o.Console}
	defer func() {
		if err != nil {
			err = errors.Join(err, f.stop())
		}
	}()
	url, err := told(ctx, p, "where it listens", found)
	if err != nil {
		return nil, err
	}
	if f.bidi, err = dialBidi(ctx, url+"/session", f.listen); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	var session struct {
		Capabilities struct{ BrowserVersion string }
	}
	if err := f.call(ctx, "session.new", map[string]any{"capabilities": map[string]any{}}, &session); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	f.version = "Firefox " + major(session.Capabilities.BrowserVersion)
	var tree struct {
		Contexts []struct{ Context string }
	}
	if err := f.call(ctx, "browsingContext.getTree", map[string]any{}, &tree); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	if len(tree.Contexts) != 1 {
		return nil, fmt.Errorf("open Firefox: it has %d tabs, want one", len(tree.Contexts))
	}
	f.tab = tree.Contexts[0].Context
	if err := f.call(ctx, "session.subscribe", map[string]any{"events": []string{"log.entryAdded"}}, nil); err != nil {
		return nil, fmt.Errorf("open Firefox: %w", err)
	}
	return f, nil
}

// find is the path of the first of some programs that is there.
func find(names ...string) (string, error) {
	var err error
	for _, name := range names {
		path, e := exec.LookPath(name)
		if e == nil {
			return path, nil
		}
		err = errors.Join(err, e)
	}
	return "", err
}

func (f *firefox) listen(method string, params json.RawMessage) {
	if method != "log.entryAdded" {
		return
	}
	var entry struct {
		Type, Level, Method, Text string
		StackTrace                *json.RawMessage
	}
	if err := json.Unmarshal(params, &entry); err != nil {
		f.console("error: not an entry of the console: " + string(params))
		return
	}
	kind := entry.Level // of what the browser itself says
	switch {
	case entry.Type == "javascript" && kind == "error" && entry.StackTrace != nil: // else what could not be loaded
		kind = "uncaught"
	case entry.Method == "warn":
		kind = "warning"
	case entry.Type == "console":
		kind = entry.Method
	}
	f.console(kind + ": " + entry.Text)
}

func (f *firefox) Version() string { return f.version }

func (f *firefox) Navigate(ctx context.Context, url string) error {
	return f.call(ctx, "browsingContext.navigate", map[string]any{"context": f.tab, "url": url, "wait": "complete"}, nil)
}

func (f *firefox) Evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	var out struct {
		Type   string
		Result struct {
			Type  string
			Value json.RawMessage
		}
		ExceptionDetails struct{ Text string }
	}
	if err := f.call(ctx, "script.evaluate", map[string]any{
		"expression": text(expression), "target": map[string]any{"context": f.tab}, "awaitPromise": true, "userActivation": false,
	}, &out); err != nil {
		return nil, err
	}
	if out.Type == "exception" {
		return nil, fmt.Errorf("the page threw %s", out.ExceptionDetails.Text)
	}
	var value string
	if err := json.Unmarshal(out.Result.Value, &value); err != nil {
		return nil, fmt.Errorf("read the value of an expression, a %s: %w", out.Result.Type, err)
	}
	return json.RawMessage(value), nil
}

func (f *firefox) Click(ctx context.Context, selector string) error {
	place, err := placeOf(ctx, f.Evaluate, selector)
	if err != nil {
		return err
	}
	return f.call(ctx, "input.performActions", map[string]any{"context": f.tab, "actions": press(place)}, nil)
}

func (f *firefox) Permit(ctx context.Context, name, state, origin string) error {
	return f.call(ctx, "permissions.setPermission", map[string]any{"descriptor": map[string]any{"name": name}, "state": state, "origin": origin}, nil)
}

func (f *firefox) Hide(ctx context.Context) error {
	return f.call(ctx, "browsingContext.create", map[string]any{"type": "tab", "background": false}, nil)
}

func (f *firefox) Show(ctx context.Context) error {
	return f.call(ctx, "browsingContext.activate", map[string]any{"context": f.tab}, nil)
}

func (f *firefox) Close(ctx context.Context) error {
	return errors.Join(f.call(ctx, "browser.close", map[string]any{}, nil), f.stop())
}

func (f *firefox) stop() error {
	if f.bidi != nil {
		f.bidi.close()
	}
	return f.program.end()
}
