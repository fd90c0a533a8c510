package demo

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestOnlyThePageItselfMayPress(t *testing.T) {
	d := &demo{token: "secret", backbone: &backbone{}, leaf: &leafProcess{}}
	pressed := 0
	handler := d.guard(pageOrigins(8088), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { pressed++ }))
	for _, c := range []struct {
		name, method, host, origin, token string
		want                              int
	}{
		{"the page's button", "POST", "localhost:8088", "http://localhost:8088", "secret", 200},
		{"the page by address", "POST", "127.0.0.1:8088", "http://127.0.0.1:8088", "secret", 200},
		{"a reader", "GET", "localhost:8088", "", "", 200},
		{"another site that knows no token", "POST", "localhost:8088", "https://evil.example", "", 403},
		{"another site that knows the token", "POST", "localhost:8088", "https://evil.example", "secret", 403},
		{"a program without an origin", "POST", "localhost:8088", "", "secret", 403},
		{"a wrong token", "POST", "localhost:8088", "http://localhost:8088", "guess", 403},
		{"a name that was pointed here", "GET", "evil.example:8088", "", "", 421},
		{"another port", "GET", "localhost:80", "", "", 421},
	} {
		before := pressed
		r := httptest.NewRequest(c.method, "http://"+c.host+"/leaf/stop", nil)
		r.Header.Set("Origin", c.origin)
		r.Header.Set("X-Demo-Token", c.token)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want || (pressed > before) != (c.want == 200) {
			t.Errorf("%s: status %d, want %d; served: %v", c.name, w.Code, c.want, pressed > before)
		}
	}
}
