package demo

import (
	"context"
	"errors"
	"image"
	"image/color"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/makiuchi-d/gozxing"
	"github.com/makiuchi-d/gozxing/qrcode"
)

// terminal is what a terminal shows of a QR code, each module some pixels wide: black where there is ink, whatever its own colours are.
func terminal(t *testing.T, text string) image.Image {
	t.Helper()
	text = regexp.MustCompile("\x1b\\[[0-9;]*m").ReplaceAllString(text, "")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	const pixels = 6
	width := len([]rune(strings.TrimPrefix(lines[0], "  ")))
	picture := image.NewGray(image.Rect(0, 0, width*pixels, 2*len(lines)*pixels))
	for y, line := range lines {
		modules := []rune(strings.TrimPrefix(line, "  "))
		if len(modules) != width {
			t.Fatalf("line %d has %d modules, the first %d", y, len(modules), width)
		}
		for x, m := range modules {
			for i := range 2 * pixels * pixels {
				dark := m == '█' || m == '▀' && i < pixels*pixels || m == '▄' && i >= pixels*pixels
				level := color.Gray{Y: 255}
				if dark {
					level.Y = 0
				}
				picture.SetGray(x*pixels+i%pixels, 2*y*pixels+i/pixels, level)
			}
		}
	}
	return picture
}

// What is printed is a code that a reader reads.
func TestQRCodeSaysTheAddress(t *testing.T) {
	for _, address := range []string{"http://192.168.1.10:8088/", "https://a-rather-long-name-of-a-tunnel.example.com/", "http://[fd00:1234:5678:9abc:def0:1234:5678:9abc]:65535/"} {
		text, err := qrText(address)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text, blackOnWhite); n != strings.Count(text, "\n") || n != strings.Count(text, asBefore+"\n") {
			t.Errorf("not every line has its colours, and gives them back: %q", text)
		}
		bitmap, err := gozxing.NewBinaryBitmapFromImage(terminal(t, text))
		if err != nil {
			t.Fatal(err)
		}
		got, err := qrcode.NewQRCodeReader().Decode(bitmap, nil)
		if err != nil {
			t.Fatalf("%s: not read: %v\n%s", address, err, text)
		}
		if got.GetText() != address {
			t.Errorf("it says %q, want %q", got.GetText(), address)
		}
	}
}

// Guests may look at the page, reach its server and tell of their moves; the buttons and what happens on this machine are not theirs, whatever
// they claim to be.
func TestGuestsMayLookAndNothingElse(t *testing.T) {
	lan, loopback := &net.TCPAddr{IP: net.IPv4(192, 168, 1, 10), Port: 8088}, &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8088}
	const guestOrigin = "http://192.168.1.10:8088"
	d := &demo{token: "ours", backbone: &backbone{}, leaf: &leafProcess{}, guests: &guests{origin: guestOrigin, token: "theirs"}}
	own := pageOrigins(8088)
	handler := d.guard(own, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if guest, _ := d.guests.isGuest(own, r); guest {
			w.Header().Set("Guest", "yes")
		}
	}))
	for _, c := range []struct {
		name, method, path, host, origin, token string
		at                                      net.Addr
		forwarded                               bool
		want                                    int
		guest                                   bool
	}{
		{"the page", "GET", "/", "192.168.1.10:8088", "", "", lan, false, 200, true},
		{"its server", "GET", backbonePath, "192.168.1.10:8088", guestOrigin, "", lan, false, 200, true},
		{"a report", "POST", "/report", "192.168.1.10:8088", guestOrigin, "theirs", lan, false, 200, true},
		{"a report of another site", "POST", "/report", "192.168.1.10:8088", "http://evil.example", "theirs", lan, false, 403, true},
		{"a report without the token", "POST", "/report", "192.168.1.10:8088", guestOrigin, "", lan, false, 403, true},
		{"the button", "POST", "/leaf/stop", "192.168.1.10:8088", guestOrigin, "theirs", lan, false, 403, true},
		{"the button with the owner's token", "POST", "/leaf/stop", "192.168.1.10:8088", guestOrigin, "ours", lan, false, 403, true},
		{"the events", "GET", "/events", "192.168.1.10:8088", "", "", lan, false, 403, true},
		{"from the LAN, calling it localhost", "GET", "/", "localhost:8088", "", "", lan, false, 421, true},
		{"from the LAN, pressing as the owner", "POST", "/leaf/stop", "localhost:8088", "http://localhost:8088", "ours", lan, false, 421, true},
		{"by a tunnel that calls it localhost", "GET", "/", "localhost:8088", "", "", loopback, true, 200, true},
		{"by a tunnel, the button", "POST", "/leaf/stop", "localhost:8088", "http://localhost:8088", "ours", loopback, true, 403, true},
		{"the owner", "GET", "/events", "localhost:8088", "", "", loopback, false, 200, false},
		{"the owner's button", "POST", "/leaf/stop", "localhost:8088", "http://localhost:8088", "ours", loopback, false, 200, false},
		{"a name that was pointed here", "GET", "/", "evil.example:8088", "", "", loopback, false, 421, false},
	} {
		r := httptest.NewRequest(c.method, "http://"+c.host+c.path, nil)
		r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, c.at))
		r.Header.Set("Origin", c.origin)
		r.Header.Set("X-Demo-Token", c.token)
		if c.forwarded {
			r.Header.Set("X-Forwarded-For", "203.0.113.9")
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		if w.Code != c.want || w.Code == 200 && (w.Header().Get("Guest") == "yes") != c.guest {
			t.Errorf("%s: status %d, guest %q, want %d, %v", c.name, w.Code, w.Header().Get("Guest"), c.want, c.guest)
		}
	}
	page := d.pageConfig(true)
	if page.Token != "theirs" || page.CAFile != "" || !page.Guest {
		t.Errorf("a guest's page is told %+v", page)
	}
}

// What cannot be is refused by the name of its flag, with what would be right.
func TestGuestsAreConfiguredOrRefused(t *testing.T) {
	for _, c := range []struct {
		config Config
		want   string // of the error, or the origin
	}{
		{Config{GuestURL: "https://demo.example.com"}, "https://demo.example.com"},
		{Config{GuestURL: "https://Demo.example.com:443/"}, "https://demo.example.com"},
		{Config{GuestURL: "https://203.0.113.7:8443"}, "https://203.0.113.7:8443"},
		{Config{GuestURL: "http://demo.example.com"}, `--guest-url "http://demo.example.com"`},
		{Config{GuestURL: "https://demo.example.com/demo"}, "without a path"},
		{Config{GuestURL: "https://user@demo.example.com"}, "--guest-url"},
		{Config{GuestURL: "demo.example.com"}, "--guest-url"},
		{Config{GuestURL: "https://"}, "--guest-url"},
		{Config{Guest: true, TLS: true}, "--tls with --guest"},
		{Config{Guest: true, LANBindAddress: "192.168.1"}, `--lan-bind-address "192.168.1"`},
		{Config{Guest: true, LANBindAddress: "0.0.0.0"}, "--lan-bind-address"},
	} {
		if c.config.LANBindAddress == "" {
			c.config.LANBindAddress = "127.0.0.1"
		}
		g, err := newGuests(&c.config)
		switch {
		case err != nil && !strings.Contains(err.Error(), c.want):
			t.Errorf("%+v: %v, want %q", c.config, err, c.want)
		case err == nil && (g.origin != c.want || !c.config.TLS):
			t.Errorf("%+v: %q, TLS %v; want %q", c.config, g.origin, c.config.TLS, c.want)
		}
	}
	if g, err := newGuests(&Config{}); g != nil || err != nil {
		t.Errorf("without guests: %v, %v", g, err)
	}
	var own interface{ Hint() string }
	if _, err := newGuests(&Config{Guest: true, TLS: true, LANBindAddress: "127.0.0.1"}); !errors.As(err, &own) || !strings.Contains(own.Hint(), "--guest-url") {
		t.Errorf("%v has no hint", err)
	}
}

// Guests' reports are printed: without what a terminal obeys, and not more than some.
func TestReportsOfGuestsAreTamed(t *testing.T) {
	g, err := newGuests(&Config{Guest: true, LANBindAddress: "127.0.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	g.origin = "http://127.0.0.1:9"
	d := &demo{guests: g, events: newEvents()}
	_, events, stop := d.events.listen()
	defer stop()
	report := d.takeReport(pageOrigins(8088))
	taken := 0
	for range 3 * reportBurst {
		r := httptest.NewRequest("POST", g.origin+"/report", strings.NewReader(`{"who":"page","from":"a","to":"b","reason":"\u001b[2J\u0007 good \n"}`))
		w := httptest.NewRecorder()
		report(w, r)
		if w.Code == http.StatusNoContent {
			taken++
		}
	}
	if taken < reportBurst || taken > 2*reportBurst {
		t.Errorf("%d of %d reports were taken at once", taken, 3*reportBurst)
	}
	if move := (<-events).Move; move.Who != "guest" || strings.ContainsAny(move.Reason, "\x1b\x07\n") || !strings.Contains(move.Reason, "good") {
		t.Errorf("printed: %+v", move)
	}
}
