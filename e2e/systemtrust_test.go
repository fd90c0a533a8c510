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
# accepts WHAT HOST PORT PATH OPTION, where the option makes s_client check the host.
accepts() {
	curl --silent --show-error --fail --cacert $bundle --resolve "$2:$3:127.0.0.1" "https://$2:$3$4" > "$WORK/curl" 2>&1 && c=yes || c=no
	openssl s_client -connect "127.0.0.1:$3" "$5" "$2" -verify_return_error -CAfile $bundle -no-CApath < /dev/null > "$WORK/openssl" 2>&1 && o=yes || o=no
	echo "$1: curl $c, openssl $o"
}
leafIs() { accepts "$1" 127.0.0.1 "$PORT" /.well-known/kinopio-leader.json -verify_ip; }

# Somebody has stolen the root's key, and serves HOST with it.
thief() {
	root="$KINOPIO_LEAF_CACHE_DIR/kinopio-hub/leaf-ca/root-ca-key.pem"
	printf 'subjectAltName=DNS:%s\nextendedKeyUsage=serverAuth\n' "$1" > "$WORK/ext"
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj "/CN=a thief" -keyout "$WORK/key" -out "$WORK/csr" 2> "$WORK/said"
	openssl x509 -req -in "$WORK/csr" -CA "$root" -CAkey "$root" -set_serial 7 -days 1 -extfile "$WORK/ext" -out "$WORK/crt" 2> "$WORK/said"
	openssl s_server -accept "127.0.0.1:$STOLEN" -cert "$WORK/crt" -key "$WORK/key" -www -quiet > "$WORK/said" 2>&1 &
	server=$!
	until openssl s_client -connect "127.0.0.1:$STOLEN" < /dev/null > "$WORK/said" 2>&1; do kill -0 $server; sleep 0.02; done
	accepts "stolen, $1" "$1" "$STOLEN" / -verify_hostname
	kill $server
	wait $server || true
}

leafIs installed
thief www.example.com
thief studio.local
"$PROGRAM" ca uninstall --store system
leafIs uninstalled
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
		"WORK="+work, "PROGRAM="+artefacts(t).program, "PORT="+freePort(t), "STOLEN="+freePort(t))...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v", err)
	}
	for _, want := range []string{
		"\ninstalled: curl yes, openssl yes", "\nuninstalled: curl no, openssl no",
		// The root may sign for the second of them, so that the first proves something.
		"\nstolen, www.example.com: curl no, openssl no", "\nstolen, studio.local: curl yes, openssl yes",
	} {
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
