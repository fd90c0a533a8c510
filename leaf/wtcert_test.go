package leaf

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func wtCertsIn(t *testing.T, dir string) *wtCerts {
	t.Helper()
	c, err := openWTCerts(dir, wtUsual, slog.New(slog.NewTextHandler(testWriter{t}, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Browsers take no certificate whose whole life is longer than two weeks.
func TestWebTransportCertificatesAreShort(t *testing.T) {
	c := wtCertsIn(t, "")
	for _, cert := range []*wtCert{c.present, c.next} {
		if life := cert.tls.Leaf.NotAfter.Sub(cert.tls.Leaf.NotBefore); life > 13*24*time.Hour {
			t.Errorf("it lives for %v", life)
		}
	}
	if now := time.Now(); !c.usable(now, c.present) {
		t.Error("the present one is not valid now")
	}
}

// Whenever it is asked, after however long a sleep or by a clock that was set back: what is shown is
// valid, and with no gap between two looks of an hour each next one was published before.
func TestWebTransportCertificatesFollowEachOther(t *testing.T) {
	c := wtCertsIn(t, "")
	now := time.Now()
	known := c.hashes()
	turns := 0
	for range 60 * 24 {
		now = now.Add(time.Hour)
		if err := c.keep(now); err != nil {
			t.Fatal(err)
		}
		if !c.usable(now, c.present) {
			t.Fatalf("at %v the present one is not valid", now)
		}
		if at := c.hashes(); at[0] != known[0] {
			if at[0] != known[1] {
				t.Fatalf("at %v a certificate is shown that nobody was told of", now)
			}
			turns++
			known = at
		}
	}
	if turns < 14 || turns > 15 {
		t.Errorf("%d turns in 60 days, want one in 4 days", turns)
	}
	for _, jump := range []time.Duration{5 * 24 * time.Hour, 9 * 24 * time.Hour, 30 * 24 * time.Hour, -40 * 24 * time.Hour, -time.Hour} {
		now = now.Add(jump)
		if err := c.keep(now); err != nil {
			t.Fatal(err)
		}
		if !c.usable(now, c.present) {
			t.Errorf("after %v the present one is not valid", jump)
		}
	}
}

func TestLeavesOfOneUserShareCertificates(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	one, two := wtCertsIn(t, dir), wtCertsIn(t, dir)
	later := time.Now().Add(wtUsual.turn + time.Hour)
	for _, c := range []*wtCerts{one, two} {
		if err := c.keep(later); err != nil {
			t.Fatal(err)
		}
	}
	if a, b := one.hashes(), two.hashes(); a[0] != b[0] || a[1] != b[1] {
		t.Errorf("%v and %v", a, b)
	}
}

// Whatever is in the file: there is a certificate, and what others may have read is not used.
func TestFilesThatCannotBeUsedAreReplaced(t *testing.T) {
	for name, spoil := range map[string]func(t *testing.T, file string){
		"empty": func(t *testing.T, file string) { write(t, file, "", 0o600) },
		"nonsense": func(t *testing.T, file string) {
			write(t, file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0o600)
		},
		"open": func(t *testing.T, file string) {
			if err := os.Chmod(file, 0o644); err != nil {
				t.Fatal(err)
			}
		},
		"swapped": func(t *testing.T, file string) {
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.SplitAfter(string(data), "-----END PRIVATE KEY-----\n")
			certs := strings.SplitAfter(parts[0], "-----END CERTIFICATE-----\n")
			keys := strings.SplitAfter(parts[1], "-----END CERTIFICATE-----\n")
			write(t, file, certs[0]+keys[1]+keys[0]+certs[1], 0o600)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			before := wtCertsIn(t, dir).hashes()
			file := filepath.Join(dir, "webtransport.pem")
			spoil(t, file)
			after := wtCertsIn(t, dir).hashes()
			if before[0] == after[0] || before[1] == after[1] {
				t.Errorf("it was %v and is %v", before, after)
			}
			info, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode().Perm() != 0o600 {
				t.Errorf("the file is %v", info.Mode().Perm())
			}
			if again := wtCertsIn(t, dir).hashes(); again[0] != after[0] {
				t.Error("what was made is not kept")
			}
		})
	}
}

func write(t *testing.T, file, text string, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}
