package hub_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/hub"
)

// Who a URL names goes before the options, as in nats.go: it is for that server alone.
func TestCredentialsInAURLGoBeforeTheOptions(t *testing.T) {
	for name, c := range map[string]struct {
		server func(*server.Options)
		good   *url.Userinfo
		bad    *url.Userinfo
		option hub.Auth
	}{
		"user":  {func(o *server.Options) { o.Username, o.Password = "me", "p@ss/w:rd%" }, url.UserPassword("me", "p@ss/w:rd%"), url.UserPassword("me", "wr@ng"), hub.Auth{User: "me", Password: "p@ss/w:rd%"}},
		"token": {func(o *server.Options) { o.Authorization = "t0/p" }, url.User("t0/p"), url.User("wr@ng"), hub.Auth{Token: "t0/p"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := startServer(t, c.server)
			at := func(who *url.Userinfo) string {
				return (&url.URL{Scheme: "nats", User: who, Host: s.Addr().String()}).String()
			}
			h := openHub(t, hub.Config{Servers: []string{at(c.good)}, Auth: hub.Auth{User: "another", Password: "one"}})
			if shown := h.Status().Server; strings.Contains(shown, "@") {
				t.Errorf("the status shows %q, want no credentials", shown)
			}
			openHub(t, hub.Config{Servers: []string{at(c.good)}})
			openHub(t, hub.Config{Servers: []string{at(nil)}, Auth: c.option})
			wrong, err := hub.Open(context.Background(), hub.Config{Servers: []string{at(c.bad)}, Auth: c.option, FailFast: true})
			if err != nil {
				t.Fatal(err)
			}
			defer wrong.Close()
			if err := wrong.Connected(soon(t)); !errors.Is(err, hub.ErrConnect) || strings.Contains(err.Error(), "ng@") || strings.Contains(err.Error(), "wr") {
				t.Errorf("wrong credentials in the URL, right ones in the options: %v; want that it fails, and shows none", err)
			}
		})
	}
}

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
