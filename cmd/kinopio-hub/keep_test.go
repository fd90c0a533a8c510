package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// valueAt lets f use a value of a leaf, by a hub that lives no longer than f.
func valueAt(t *testing.T, url string, auth hub.Auth, f func(context.Context, *hub.Variable)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	h, err := hub.Open(ctx, hub.Config{Servers: []string{url}, Auth: auth})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f(ctx, h.Scope("robot").Variable("battery"))
	if err := h.Flush(ctx); err != nil {
		t.Fatal(err)
	}
}

// A leaf that keeps remembers a value when the last program that knew it has ended, and in a folder when the leaf has.
func TestLeafKeepsValues(t *testing.T) {
	dir, token := filepath.Join(t.TempDir(), "values"), filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("a token of the leaf"), 0o600); err != nil {
		t.Fatal(err)
	}
	auth := hub.Auth{Token: "a token of the leaf"}
	for life := range 2 {
		cmd, lines := startLeaf(t, "--json-lines", "--keep=robot.>", "--keep-dir", dir, "--access-token-file", token)
		status := next(t, lines)
		url := status["clientUrl"].(string)
		for status["keeper"].(map[string]any)["connected"] != true {
			status = next(t, lines)
		}
		if k := status["keeper"].(map[string]any); k["dir"] != dir || k["maxValues"] != float64(keepValues) || k["values"] != float64(life) || k["lastError"] != nil {
			t.Errorf("life %d: the status says %v", life, k)
		}
		if status["connections"] != 0.0 {
			t.Errorf("%v clients are connected, and the keeper is none", status["connections"])
		}
		if life == 0 {
			valueAt(t, url, auth, func(ctx context.Context, v *hub.Variable) {
				if err := v.Set(ctx, 0.5); err != nil {
					t.Fatal(err)
				}
			})
		}
		valueAt(t, url, auth, func(ctx context.Context, v *hub.Variable) {
			if err := v.Ready(ctx); err != nil || v.Value() != 0.5 {
				t.Errorf("life %d: the value is %v, %v", life, v.Value(), err)
			}
		})
		if err := cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}
}

func TestMistakesInWhatIsKept(t *testing.T) {
	for _, c := range []struct {
		flags keepFlags
		want  string
	}{
		{keepFlags{dir: "x", maxValues: 1, maxBytes: 1}, "--keep-dir without --keep"},
		{keepFlags{patterns: []string{"a..b"}, maxValues: 1, maxBytes: 1}, "--keep: "},
		{keepFlags{patterns: []string{"a"}, maxBytes: 1}, "--keep-values 0"},
		{keepFlags{patterns: []string{"a"}, maxValues: 1, maxBytes: -5}, "--keep-bytes -5"},
	} {
		if _, err := c.flags.forLeaf(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.flags, err, c.want)
		}
	}
}
