package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// inNamespace runs in a mount namespace of its own, where the system's store is a copy with
// a few certificates: the machine that runs the test keeps its own.
const inNamespace = `set -eu
mount --make-rprivate /
mkdir "$WORK/etc-ssl" && cp -a /etc/ssl/. "$WORK/etc-ssl/" && mount --bind "$WORK/etc-ssl" /etc/ssl
rm -f /etc/ssl/certs/*.0 /etc/ssl/certs/*.pem
mount -t tmpfs none /usr/local/share/ca-certificates
mount -t tmpfs none /etc/ca-certificates
head -3 "$WORK/conf" > "$WORK/few" && mount --bind "$WORK/few" /etc/ca-certificates.conf
"$PROGRAM" ca install --store system
if [ "$(ls /usr/local/share/ca-certificates | wc -l)" != 1 ]; then echo "no anchor"; exit 1; fi

"$PROGRAM" leaf start --discovery-namespace e2e --lan-bind-address 127.0.0.1 --discovery-port "$PORT" --json > "$WORK/status" &
leaf=$!
until [ -s "$WORK/status" ]; do sleep 0.02; done
bundle=/etc/ssl/certs/ca-certificates.crt
url="https://127.0.0.1:$PORT/.well-known/kinopio-leader.json"
accepts() {
	curl --silent --show-error --fail --cacert $bundle "$url" > "$WORK/curl" 2>&1 && c=yes || c=no
	openssl s_client -connect "127.0.0.1:$PORT" -verify_ip 127.0.0.1 -verify_return_error -CAfile $bundle -no-CApath < /dev/null > "$WORK/openssl" 2>&1 && o=yes || o=no
	echo "$1: curl $c, openssl $o"
}
accepts installed
"$PROGRAM" ca uninstall --store system
accepts uninstalled
kill -INT $leaf
wait $leaf
`

func TestCurlAndOpenSSLFollowTheSystemStore(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("mount namespaces are Linux's")
	}
	for name, pkg := range map[string]string{"unshare": "util-linux", "curl": "curl", "openssl": "openssl", "bash": "bash"} {
		tool(t, name, pkg)
	}
	before := systemStore(t)
	work := t.TempDir()
	conf, err := os.ReadFile("/etc/ca-certificates.conf")
	if err != nil {
		t.Fatalf("%v: this test needs a system of Debian's kind", err)
	}
	var names []string
	for line := range strings.Lines(string(conf)) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, "!") {
			names = append(names, line)
		}
	}
	if err := os.WriteFile(filepath.Join(work, "conf"), []byte(strings.Join(names, "")), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-rm"
	}
	cmd := exec.Command("unshare", flags, "bash", "-c", inNamespace)
	cmd.Env = append(os.Environ(), append(homeOf(filepath.Join(work, "home")),
		"WORK="+work, "PROGRAM="+artefacts(t).program, "PORT="+freePort(t))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, want := range []string{"installed: curl yes, openssl yes", "uninstalled: curl no, openssl no"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("not said: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
	if after := systemStore(t); after != before {
		t.Errorf("the machine's own store was touched:\n%s\nbefore:\n%s", after, before)
	}
}

// systemStore is what the machine's own store looks like.
func systemStore(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	for _, path := range []string{"/usr/local/share/ca-certificates", "/etc/ssl/certs/ca-certificates.crt"} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(path + " " + info.ModTime().String() + "\n")
	}
	return all.String()
}
