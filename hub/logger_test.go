package hub_test

import (
	"errors"
	"log/slog"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A logger that is nil is silent, also where its type is known.
func TestNilLoggerIsSilent(t *testing.T) {
	for _, log := range []hub.Logger{nil, (*slog.Logger)(nil)} {
		h, err := hub.Open(t.Context(), hub.Config{Servers: []string{"nats://127.0.0.1:1"}, NoRetry: true, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		if err := h.Connected(soon(t)); !errors.Is(err, hub.ErrConnect) {
			t.Errorf("got %v", err)
		}
	}
}
