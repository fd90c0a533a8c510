package tlsca

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Real databases, edited by the real certutil.
func TestNSSTakesGivesUpAndIsNotFooled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("browsers read NSS databases on Linux")
	}
	if _, err := exec.LookPath("certutil"); err != nil {
		t.Fatal("certutil is missing: install it (Debian: apt-get install libnss3-tools)")
	}
	ca, other := open(t, t.TempDir()), open(t, t.TempDir())
	home := t.TempDir()
	profile := filepath.Join(home, ".mozilla", "firefox", "x.default")
	os.MkdirAll(profile, 0o700)
	os.WriteFile(filepath.Join(profile, "times.json"), nil, 0o600)
	o := TrustOptions{Machine: Machine{Home: home}, Kinds: []string{"nss"}}

	if got := ca.CheckTrust(t.Context(), o); got.State != TrustSkipped || len(got.Stores) != 2 {
		t.Fatalf("before: %+v", got)
	}
	if entries, _ := os.ReadDir(filepath.Join(home, ".pki")); len(entries) > 0 {
		t.Error("a look has made a database")
	}
	for range 2 { // The second time it is there already.
		if got := ca.InstallTrust(t.Context(), o); got.State != TrustInstalled {
			t.Fatalf("install: %+v", got)
		}
	}
	if info, err := os.Stat(filepath.Join(home, ".pki", "nssdb")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("database: %v %v", info, err)
	}
	if got := other.InstallTrust(t.Context(), o); got.State != TrustInstalled {
		t.Errorf("another root beside it: %+v", got)
	}

	// There, but trusted for nothing, is not installed.
	db := "sql:" + filepath.Join(home, ".pki", "nssdb")
	if out, err := exec.Command("certutil", "-d", db, "-M", "-n", ca.Anchor().Name, "-t", ",,").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := ca.CheckTrust(t.Context(), o); got.State != TrustSkipped {
		t.Errorf("without trust: %+v", got)
	}
	if got := ca.InstallTrust(t.Context(), o); got.State != TrustInstalled {
		t.Errorf("trust again: %+v", got)
	}

	if got := ca.RemoveTrust(t.Context(), o); got.State != TrustSkipped {
		t.Errorf("remove: %+v", got)
	}
	out, err := exec.Command("certutil", "-d", db, "-L").CombinedOutput()
	if err != nil || strings.Contains(string(out), ca.Anchor().Name) || !strings.Contains(string(out), other.Anchor().Name) {
		t.Errorf("after removal of one root of two: %v\n%s", err, out)
	}
}
