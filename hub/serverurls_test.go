package hub_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A gateway tells its servers apart by the path, as it is written.
func TestPathsOfServersStayAsTheyAreWritten(t *testing.T) {
	asked := make(chan string, 1)
	gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case asked <- r.RequestURI:
		default: // the hub tries again
		}
		http.Error(w, "no", http.StatusNotFound)
	}))
	t.Cleanup(gateway.Close)
	for written, want := range map[string]string{
		"/nats":                    "/nats",
		"/a%2Fb/c%20d":             "/a%2Fb/c%20d",
		"/a%2fb/%7Euser":           "/a%2fb/%7Euser",
		"/nats?tenant=1%2F2&x=%20": "/nats?tenant=1%2F2&x=%20",
		"/with/":                   "/with/",
	} {
		h, err := hub.Open(context.Background(), hub.Config{Servers: []string{strings.Replace(gateway.URL, "http", "ws", 1) + written}, FailFast: true})
		if err != nil {
			t.Fatalf("%s: %v", written, err)
		}
		if err := h.Connected(soon(t)); !errors.Is(err, hub.ErrConnect) {
			t.Errorf("%s: %v", written, err)
		}
		if got := <-asked; got != want {
			t.Errorf("%s: the gateway was asked for %q", written, got)
		}
		h.Close()
	}
}
