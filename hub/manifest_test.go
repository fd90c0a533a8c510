package hub

import "testing"

func TestManifestLeadsToTheLANAndToNoLessThanTLS(t *testing.T) {
	plain, secure := []string{"nats://10.0.0.1:4222"}, []string{"ws://a.example:80", "wss://a.example:443"}
	for _, c := range []struct {
		leaf, manifest string
		servers        []string
		may            bool
	}{
		{"wss://192.168.1.7:8443", "https://app.example.com/m.json", secure, true},
		{"wss://[fd00::7]:8443", "https://app.example.com/m.json", secure, true},
		{"wss://[fe80::7]:8443", "https://app.example.com/m.json", secure, true},
		{"wss://169.254.3.4:8443", "http://127.0.0.1:4321/m.json", secure, true},
		{"wss://100.64.3.4:8443", "http://127.0.0.1:4321/m.json", secure, true},
		{"wss://127.0.0.1:8443", "https://app.example.com/m.json", secure, true},
		{"wss://leaf.local:8443", "https://app.example.com/m.json", secure, true},
		{"wss://app.example.com:8443", "https://APP.example.com/m.json", secure, true},
		{"wss://203.0.113.5:8443", "https://203.0.113.5/m.json", secure, true},
		{"ws://192.168.1.7:8080", "http://192.168.1.7/m.json", plain, true},
		{"ws://127.0.0.1:8080", "http://127.0.0.1:4321/m.json", secure, true}, // No cable to listen at.

		{"wss://evil.example.com:443", "https://app.example.com/m.json", secure, false},
		{"wss://evil.example.com:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"wss://203.0.113.5:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"wss://[2001:db8::1]:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"wss://[::ffff:203.0.113.5]:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"wss://ai:443", "http://127.0.0.1:4321/m.json", plain, false}, // A top-level domain with an address.
		{"wss://local.example.com:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"wss://127.0.0.1.example.com:443", "http://127.0.0.1:4321/m.json", plain, false},
		{"ws://192.168.1.7:8080", "http://127.0.0.1:4321/m.json", secure, false},
		{"ws://192.168.1.7:8080", "https://app.example.com/m.json", plain, false},
		{"ws://app.example.com:80", "https://app.example.com/m.json", plain, false},
	} {
		if err := mayLeadTo(c.leaf, c.manifest, c.servers); (err == nil) != c.may {
			t.Errorf("from %s, beside %v, to %s: %v", c.manifest, c.servers, c.leaf, err)
		}
	}
}

func TestALeafIsOnTheLinkByWhichItsManifestCame(t *testing.T) {
	for _, c := range []struct{ leaf, manifest, want string }{
		{"wss://[fe80::1%25eth0]:443", "https://[fe80::1%25lan7]:1/m", "wss://[fe80::1%25lan7]:443"},
		{"wss://[fe80::1]:443", "https://[FE80::1%25lan7]:1/m", "wss://[fe80::1%25lan7]:443"},
		{"wss://[fe80::1%25eth0]:443", "http://127.0.0.1:1/m", "wss://[fe80::1%25eth0]:443"}, // By a follower, who has the same links.
		{"wss://[fd77::1]:443", "https://[fe80::1%25lan7]:1/m", "wss://[fd77::1]:443"},
		{"wss://a.local:443", "https://[fe80::1%25lan7]:1/m", "wss://a.local:443"},
	} {
		if got := onLinkOf(c.leaf, c.manifest); got != c.want {
			t.Errorf("%s by %s: %s, want %s", c.leaf, c.manifest, got, c.want)
		}
	}
}
