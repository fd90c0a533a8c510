package tlsca

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// The command lines that other systems are told, with FILE, NAME, SHA1 and SHA256 for
// what belongs to the root.
func TestCommandLinesOfEverySystem(t *testing.T) {
	ca := open(t, t.TempDir())
	a := ca.Anchor()
	no, yes := false, true
	shorten := strings.NewReplacer(a.File, "FILE", a.Name, "NAME", a.SHA1, "SHA1", strings.ToUpper(a.Fingerprint), "SHA256", a.fileName(), "ANCHOR")

	for name, c := range map[string]struct {
		machine         Machine
		has             []string
		dirs            []string
		install, remove string
	}{
		"macOS": {Machine{OS: "darwin", Home: "/Users/ada", Prompt: true, admin: &no}, []string{"security"}, nil,
			"security add-trusted-cert -r trustRoot -p ssl -p basic -k /Users/ada/Library/Keychains/login.keychain-db FILE",
			"security remove-trusted-cert FILE\nsecurity delete-certificate -Z SHA256 /Users/ada/Library/Keychains/login.keychain-db"},
		"macOS, administrator": {Machine{OS: "darwin", Home: "/var/root", admin: &yes}, []string{"security"}, nil,
			"security add-trusted-cert -d -r trustRoot -p ssl -p basic -k /Library/Keychains/System.keychain FILE",
			"security remove-trusted-cert -d FILE\nsecurity delete-certificate -Z SHA256 /Library/Keychains/System.keychain"},
		"Windows": {Machine{OS: "windows", Prompt: true, admin: &no}, []string{"certutil.exe"}, nil,
			"certutil.exe -user -addstore Root FILE", "certutil.exe -user -delstore Root SHA1"},
		"Debian": {Machine{OS: "linux", admin: &yes}, []string{"update-ca-certificates", "install", "rm"}, []string{"/usr/local/share/ca-certificates"},
			"install -D -m 0644 FILE /usr/local/share/ca-certificates/ANCHOR\nupdate-ca-certificates",
			"rm -f /usr/local/share/ca-certificates/ANCHOR\nupdate-ca-certificates"},
		"Fedora": {Machine{OS: "linux", admin: &yes}, []string{"update-ca-trust", "install", "rm"}, []string{"/etc/pki/ca-trust/source/anchors"},
			"install -D -m 0644 FILE /etc/pki/ca-trust/source/anchors/ANCHOR\nupdate-ca-trust extract",
			"rm -f /etc/pki/ca-trust/source/anchors/ANCHOR\nupdate-ca-trust extract"},
		"Arch": {Machine{OS: "linux", admin: &yes}, []string{"update-ca-trust", "install", "rm"}, []string{"/etc/ca-certificates/trust-source/anchors"},
			"install -D -m 0644 FILE /etc/ca-certificates/trust-source/anchors/ANCHOR\nupdate-ca-trust",
			"rm -f /etc/ca-certificates/trust-source/anchors/ANCHOR\nupdate-ca-trust"},
		"SUSE": {Machine{OS: "linux", admin: &yes}, []string{"update-ca-certificates", "install", "rm"}, []string{"/etc/pki/trust/anchors", "/usr/local/share/ca-certificates"},
			"install -D -m 0644 FILE /etc/pki/trust/anchors/ANCHOR\nupdate-ca-certificates",
			"rm -f /etc/pki/trust/anchors/ANCHOR\nupdate-ca-certificates"},
		"Debian, user at a terminal": {Machine{OS: "linux", admin: &no, Elevate: true, Prompt: true}, []string{"update-ca-certificates", "install", "rm", "sudo"}, []string{"/usr/local/share/ca-certificates"},
			"sudo -- install -D -m 0644 FILE /usr/local/share/ca-certificates/ANCHOR\nsudo -- update-ca-certificates",
			"sudo -- rm -f /usr/local/share/ca-certificates/ANCHOR\nsudo -- update-ca-certificates"},
		"Debian, user without": {Machine{OS: "linux", admin: &no, Elevate: true}, []string{"update-ca-certificates", "install", "rm", "sudo"}, []string{"/usr/local/share/ca-certificates"},
			"sudo --non-interactive -- install -D -m 0644 FILE /usr/local/share/ca-certificates/ANCHOR\nsudo --non-interactive -- update-ca-certificates",
			"sudo --non-interactive -- rm -f /usr/local/share/ca-certificates/ANCHOR\nsudo --non-interactive -- update-ca-certificates"},
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && c.machine.OS != "windows" {
				t.Skip("paths of other systems are written otherwise on Windows")
			}
			m := c.machine
			if m.OS == "linux" {
				m.root = t.TempDir()
				for _, dir := range c.dirs {
					os.MkdirAll(m.root+dir, 0o755)
				}
			}
			for call, want := range map[string]string{"install": c.install, "remove": c.remove} {
				runner := &fakeRunner{has: c.has}
				m.Runner = runner
				store := lastStore(t, m)
				do := store.Install
				if call == "remove" {
					do = store.Remove
				}
				if err := do(t.Context(), a); err != nil {
					t.Fatal(err)
				}
				if got := shorten.Replace(runner.lines()); got != want {
					t.Errorf("%s:\n%s\nwant\n%s", call, got, want)
				}
			}
		})
	}
}

// lastStore is the system's own, which is named after those of browsers.
func lastStore(t *testing.T, m Machine) Store {
	t.Helper()
	stores := m.Stores()
	if len(stores) == 0 {
		t.Fatal("no store")
	}
	return stores[len(stores)-1]
}

// It leaves no lock behind in which another user would be caught.
func TestSystemStoreIsEditedByOneAtATime(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("directories are not locked there")
	}
	ca := open(t, t.TempDir())
	yes := true
	root, nowhere := t.TempDir(), filepath.Join(t.TempDir(), "none")
	t.Setenv("TMPDIR", nowhere)
	os.MkdirAll(root+"/usr/local/share/ca-certificates", 0o755)
	var inside, most atomic.Int32
	runner := &fakeRunner{has: []string{"update-ca-certificates", "install"}, answer: func(line string) (string, error) {
		if strings.HasPrefix(line, "install") {
			most.Store(max(most.Load(), inside.Add(1)))
		} else {
			defer inside.Add(-1)
		}
		runtime.Gosched()
		return "", nil
	}}
	store := lastStore(t, Machine{OS: "linux", admin: &yes, root: root, Runner: runner})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if err := store.Install(t.Context(), ca.Anchor()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most.Load() != 1 || strings.Count(runner.lines(), "update-ca-certificates") != 8 {
		t.Errorf("%d at a time; ran:\n%s", most.Load(), runner.lines())
	}
	if left, err := os.ReadDir(root + "/usr/local/share/ca-certificates"); err != nil || len(left) > 0 {
		t.Errorf("left by the lock: %v %v", left, err)
	}
}

func TestWithoutATerminalNobodyIsAsked(t *testing.T) {
	ca := open(t, t.TempDir())
	no := false
	root := t.TempDir()
	os.MkdirAll(root+"/usr/local/share/ca-certificates", 0o755)
	for name, c := range map[string]struct {
		m    Machine
		has  []string
		want error
	}{
		"macOS":   {Machine{OS: "darwin", Home: "/Users/ada", admin: &no}, []string{"security"}, ErrNeedsPerson},
		"Windows": {Machine{OS: "windows", admin: &no}, []string{"certutil.exe"}, ErrNeedsPerson},
		"Linux":   {Machine{OS: "linux", admin: &no, root: root}, []string{"update-ca-certificates", "install", "sudo"}, ErrNeedsRights},
		"no sudo": {Machine{OS: "linux", admin: &no, root: root, Elevate: true}, []string{"update-ca-certificates", "install"}, ErrNeedsRights},
	} {
		runner := &fakeRunner{has: c.has}
		c.m.Runner = runner
		if err := lastStore(t, c.m).Install(t.Context(), ca.Anchor()); !errors.Is(err, c.want) || runner.lines() != "" {
			t.Errorf("%s: %v, ran %q", name, err, runner.lines())
		}
	}
}

func TestKeychainIsAskedForTheHashAndForTrust(t *testing.T) {
	ca := open(t, t.TempDir())
	a := ca.Anchor()
	no := false
	for _, c := range []struct {
		there, trusted, want bool
	}{{true, true, true}, {true, false, false}, {false, true, false}} {
		runner := &fakeRunner{has: []string{"security"}, answer: func(line string) (string, error) {
			switch {
			case strings.HasPrefix(line, "security find-certificate") && c.there:
				return "SHA-256 hash: " + strings.ToUpper(a.Fingerprint) + "\nSHA-1 hash: " + a.SHA1 + "\n", nil
			case strings.HasPrefix(line, "security verify-cert") && !c.trusted:
				return "", errRefused
			}
			return "", nil
		}}
		in, err := newKeychain(Machine{OS: "darwin", Home: "/Users/ada", Runner: runner, admin: &no}).Contains(t.Context(), a)
		if err != nil || in != c.want {
			t.Errorf("%+v: %v %v", c, in, err)
		}
	}
}

func TestMissingCertutilIsNamedWithItsPackage(t *testing.T) {
	ca := open(t, t.TempDir())
	no := false
	m := Machine{OS: "linux", Home: t.TempDir(), Runner: &fakeRunner{}, admin: &no}
	got := ca.InstallTrust(t.Context(), TrustOptions{Machine: m, Kinds: []string{"nss"}})
	if got.State != TrustFailed || !strings.Contains(got.Detail, "libnss3-tools") || !strings.Contains(got.Detail, "mozilla-nss-tools") {
		t.Errorf("%+v", got)
	}
}

func TestDatabasesOfEveryBrowserAreFound(t *testing.T) {
	for name, c := range map[string]struct{ files, want []string }{
		"a fresh home":       {nil, []string{".pki/nssdb"}},
		"Chromium":           {[]string{".pki/nssdb/cert9.db"}, []string{".pki/nssdb"}},
		"Chromium, XDG":      {[]string{".local/share/pki/nssdb/cert9.db"}, []string{".local/share/pki/nssdb"}},
		"Chromium, both":     {[]string{".local/share/pki/nssdb/cert9.db", ".pki/nssdb/cert9.db"}, []string{".local/share/pki/nssdb", ".pki/nssdb"}},
		"Chromium, sandbox":  {[]string{"snap/chromium/current/.pki/nssdb/cert9.db", ".var/app/org.chromium.Chromium/data/pki/nssdb/cert9.db"}, []string{".pki/nssdb", "snap/chromium/current/.pki/nssdb", ".var/app/org.chromium.Chromium/data/pki/nssdb"}},
		"Firefox":            {[]string{".mozilla/firefox/a.default/cert9.db", ".mozilla/firefox/b.new/times.json", ".mozilla/firefox/Crash Reports/x"}, []string{".pki/nssdb", ".mozilla/firefox/a.default", ".mozilla/firefox/b.new"}},
		"Firefox, XDG":       {[]string{".config/mozilla/firefox/a.default/cert9.db"}, []string{".pki/nssdb", ".config/mozilla/firefox/a.default"}},
		"Firefox, sandboxes": {[]string{"snap/firefox/common/.mozilla/firefox/a/cert9.db", ".var/app/org.mozilla.firefox/.mozilla/firefox/b/cert9.db"}, []string{".pki/nssdb", "snap/firefox/common/.mozilla/firefox/a", ".var/app/org.mozilla.firefox/.mozilla/firefox/b"}},
	} {
		home := t.TempDir()
		for _, file := range c.files {
			path := filepath.Join(home, filepath.FromSlash(file))
			os.MkdirAll(filepath.Dir(path), 0o700)
			os.WriteFile(path, nil, 0o600)
		}
		var got []string
		for _, db := range nssDatabases(Machine{OS: "linux", Home: home}.normalize()) {
			rel, _ := filepath.Rel(home, db.dir)
			got = append(got, filepath.ToSlash(rel))
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
