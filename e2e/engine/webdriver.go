package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// webdriver is a session of WebDriver (https://www.w3.org/TR/webdriver2/).
type webdriver struct {
	url string // of the session
}

// newSession asks the driver at url for a browser, which is told by capabilities.
func newSession(ctx context.Context, url string, capabilities map[string]any) (_ *webdriver, version string, err error) {
	var session struct {
		SessionID    string
		Capabilities struct{ BrowserVersion string }
	}
	w := &webdriver{url: url}
	if err := w.call(ctx, "POST", "/session", map[string]any{"capabilities": map[string]any{"alwaysMatch": capabilities}}, &session); err != nil {
		return nil, "", err
	}
	return &webdriver{url: url + "/session/" + session.SessionID}, session.Capabilities.BrowserVersion, nil
}

// call sends a command, and decodes its value into result if that is not nil.
func (w *webdriver) call(ctx context.Context, method, command string, params, result any) error {
	body, err := json.Marshal(params)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, command, err)
	}
	request, err := http.NewRequestWithContext(ctx, method, w.url+command, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, command, err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, command, err)
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, 64<<20))
	if err != nil {
		return fmt.Errorf("%s %s: %w", method, command, err)
	}
	var out struct{ Value json.RawMessage }
	if err := json.Unmarshal(data, &out); err != nil {
		return fmt.Errorf("%s %s: %s: read %.200q: %w", method, command, response.Status, data, err)
	}
	if response.StatusCode != http.StatusOK {
		var wrong struct{ Error, Message string }
		if err := json.Unmarshal(out.Value, &wrong); err != nil {
			return fmt.Errorf("%s %s: %s: read %.200q: %w", method, command, response.Status, data, err)
		}
		return fmt.Errorf("%s %s: %s: %s", method, command, wrong.Error, wrong.Message)
	}
	if result == nil {
		return nil
	}
	if err := json.Unmarshal(out.Value, result); err != nil {
		return fmt.Errorf("%s %s: read %.200s: %w", method, command, out.Value, err)
	}
	return nil
}

// A script of WebDriver is the body of a function, whose last argument takes its result.
const awaited = `const done = arguments[arguments.length - 1];
%s.then((value) => done({ value }), (error) => done({ thrown: error instanceof Error ? String(error) + "\n" + error.stack : String(error) }));`

func (w *webdriver) Navigate(ctx context.Context, url string) error {
	return w.call(ctx, "POST", "/url", map[string]any{"url": url}, nil)
}

func (w *webdriver) Evaluate(ctx context.Context, expression string) (json.RawMessage, error) {
	var out struct {
		Value  string
		Thrown *string
	}
	if err := w.call(ctx, "POST", "/execute/async", map[string]any{"script": fmt.Sprintf(awaited, text(expression)), "args": []any{}}, &out); err != nil {
		return nil, err
	}
	if out.Thrown != nil {
		return nil, fmt.Errorf("the page threw %s", *out.Thrown)
	}
	return json.RawMessage(out.Value), nil
}

func (w *webdriver) Click(ctx context.Context, selector string) error {
	place, err := placeOf(ctx, w.Evaluate, selector)
	if err != nil {
		return err
	}
	return w.call(ctx, "POST", "/actions", map[string]any{"actions": press(place)}, nil)
}
