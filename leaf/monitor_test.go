package leaf

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// Any page in a browser of this machine can send requests to loopback.
func TestMonitorIsForProgramsNotForPages(t *testing.T) {
	l, _ := startLeaf(t, config(t))
	for name, c := range map[string]struct {
		path, host string
		header     [2]string
		status     int
	}{
		"a program":                     {"/varz", "", [2]string{}, 200},
		"health":                        {"/healthz", "", [2]string{}, 200},
		"the overview":                  {"/", "", [2]string{}, 200},
		"connections":                   {"/connz", "", [2]string{}, 200},
		"bridges":                       {"/leafz", "", [2]string{}, 200},
		"somebody who typed it":         {"/varz", "", [2]string{"Sec-Fetch-Site", "none"}, 200},
		"goroutine dumps":               {"/stacksz", "", [2]string{}, 404},
		"a name pointed here":           {"/varz", "evil.example.com", [2]string{}, 421},
		"a page that fetches":           {"/varz", "", [2]string{"Origin", "https://evil.example.com"}, 403},
		"a page that shows an image":    {"/varz", "", [2]string{"Sec-Fetch-Site", "cross-site"}, 403},
		"a page that includes a script": {"/varz?callback=steal", "", [2]string{}, 403},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), "GET", l.Status().MonitorURL+c.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.host != "" {
				r.Host = c.host
			}
			if c.header[0] != "" {
				r.Header.Set(c.header[0], c.header[1])
			}
			res, err := http.DefaultTransport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			body, err := io.ReadAll(res.Body)
			if res.StatusCode != c.status || err != nil {
				t.Errorf("%s, want %d; %v", res.Status, c.status, err)
			}
			if c.status != 200 && strings.Contains(string(body), "server_id") {
				t.Errorf("it tells %.80s", body)
			}
			if got := res.Header.Get("Access-Control-Allow-Origin"); got != "" {
				t.Errorf("Access-Control-Allow-Origin is %q", got)
			}
		})
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}
