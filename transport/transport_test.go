package transport_test

import (
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

func TestRedactShowsNoCredentials(t *testing.T) {
	for url, want := range map[string]string{
		"wss://host:1/path":                   "wss://host:1/path",
		"wss://user:secret@host/path?jwt=x#y": "wss://host/path",
		"nats://token@host":                   "nats://host",
		"ws://user:sec/ret@host":              "…@host",
		"ws:user:secret@host":                 "…@host",
		"user:secret@host:4222":               "…@host:4222",
		"token@host":                          "…@host",
		"ws://user:secret@ho st":              "…@ho st",
		"":                                    "",
		"nonsense":                            "nonsense",
	} {
		if got := transport.Redact(url); got != want {
			t.Errorf("Redact(%q) = %q, want %q", url, got, want)
		}
	}
}
