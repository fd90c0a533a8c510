package tlsca

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// Who asks for trust reads what is wrong and what to do, not what certutil prints.
func TestNSSFailuresAreSaidInWords(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("browsers read NSS databases on Linux")
	}
	certutil, err := exec.LookPath("certutil")
	if err != nil {
		t.Fatal("certutil is missing: install it (Debian: apt-get install libnss3-tools)")
	}
	ca := open(t, t.TempDir())
	for name, test := range map[string]struct {
		breaks func(t *testing.T, dir string)
		want   []string
	}{
		"a primary password": {func(t *testing.T, dir string) {
			password := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(password, []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(certutil, "-d", "sql:"+dir, "-N", "-f", password).CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
		}, []string{"protected by a password", "browser's settings", "SEC_ERROR_BAD_PASSWORD"}},
		"a damaged file": {func(t *testing.T, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "cert9.db"), []byte("no database"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, []string{"damaged", "close the browsers"}},
	} {
		t.Run(name, func(t *testing.T) {
			home := t.TempDir()
			dir := filepath.Join(home, ".pki", "nssdb")
			if err := os.MkdirAll(dir, 0o700); err != nil {
				t.Fatal(err)
			}
			test.breaks(t, dir)
			got := ca.InstallTrust(t.Context(), TrustOptions{Machine: Machine{Home: home}, Kinds: []string{"nss"}})
			if got.State != TrustFailed || len(got.Stores) != 1 {
				t.Fatalf("%+v", got)
			}
			text := got.Stores[0].Detail
			for _, want := range append(test.want, dir) {
				if !strings.Contains(text, want) {
					t.Errorf("%q does not say %q", text, want)
				}
			}
			for _, raw := range []string{"exit status", "certutil:", "PKCS #11 module"} {
				if strings.Contains(text, raw) {
					t.Errorf("%q has %q, which is certutil's", text, raw)
				}
			}
		})
	}
	unknown := &CommandError{Said: "certutil: something new", Err: errors.New("exit status 255")}
	if got := nssTrouble("x", unknown); !errors.Is(got, error(unknown)) || !strings.Contains(got.Error(), "something new") {
		t.Errorf("what is not known is said as it is: %v", got)
	}
}
