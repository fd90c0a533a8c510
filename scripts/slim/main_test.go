package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// compare is run beside a shim of regexp: both must find the same.
const compare = `package regexp

import (
	"reflect"
	real "regexp"
	"testing"
)

func TestShimFindsWhatRegexpFinds(t *testing.T) {
	CASES
}
`

func TestShimsFindWhatRegexpFinds(t *testing.T) {
	for name, cases := range map[string]string{
		"nats": `for _, pattern := range []string{"Subscription to \"(\\S+)\"", "using queue \"(\\S+)\"", "\\Av?([0-9]+)\\.?([0-9]+)?\\.?([0-9]+)?"} {
		for _, s := range []string{
			"", "v", "x1", "1", "v2.10.1", "2.10", "v2.15.0-RC.1", "2..3", "v1.2.3.4", "10.",
			"permissions violation for subscription to \"a.b\"",
			"Permissions Violation for Subscription to \"a.*\"", "Permissions Violation for Subscription to \"a.b\" using queue \"q1\"",
			"Subscription to \"\"", "Subscription to \"\" Subscription to \"b\"", "Subscription to \"a", "Subscription to \"a\"b\"c d\"", "using queue \"a b\" using queue \"c\"",
		} {
			got, want := MustCompile(pattern).FindStringSubmatch(s), real.MustCompile(pattern).FindStringSubmatch(s)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s in %q: got %q, want %q", pattern, s, got, want)
			}
		}
	}`,
		"nkeys": `one := "-----BEGIN NATS USER JWT-----\neyJ0.eyJq-_=.x\n------END NATS USER JWT------\n"
	two := "************************* IMPORTANT *************************\n\n-----BEGIN USER NKEY SEED-----\nSUAx\n------END USER NKEY SEED------\n\n*****\n"
	for _, s := range []string{
		"", "SUAx", one, two, one + "\n" + two, one + two, "\r\n" + one, "  " + one, "---\nx\n---\n", "------\nx\n------\n", "------\nx y\n------\n",
		"------\nx\n------", "------\r\nx\r\n------\r\n", "------\n\n------\n", one[:len(one)-1] + "x\n",
	} {
		got, want := MustCompile(pattern).FindAllSubmatch([]byte(s), -1), real.MustCompile(pattern).FindAllSubmatch([]byte(s), -1)
		words := func(found [][][]byte) (words []string) {
			for _, one := range found {
				words = append(words, string(one[1]))
			}
			return words
		}
		if !reflect.DeepEqual(words(got), words(want)) {
			t.Errorf("in %q: got %q, want %q", s, got, want)
		}
	}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			shim, err := shims.ReadFile("shims/" + name + "/internal/slim/regexp/regexp.go.txt")
			if err != nil {
				t.Fatal(err)
			}
			folder := t.TempDir()
			for file, text := range map[string]string{
				"go.mod": "module shim\n\ngo 1.26\n", "regexp.go": string(shim), "regexp_test.go": strings.Replace(compare, "CASES", cases, 1),
			} {
				if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			cmd := exec.Command("go", "test", ".")
			cmd.Dir = folder
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("go test: %v\n%s", err, out)
			}
		})
	}
}

// A version of nats.go that nobody has looked at must not be patched blindly.
func TestUnknownVersionsAreRefused(t *testing.T) {
	m := modules[0]
	m.known = []string{"v0.0.1"}
	if err := m.copy(t.TempDir()); err == nil || !strings.Contains(err.Error(), "want v0.0.1") {
		t.Errorf("got %v, want a refusal that names the known version", err)
	}
}

// An import in a file that had none of it before would bring the weight back.
func TestStrayImportsAreRefused(t *testing.T) {
	m := module{path: "m", imports: map[string][]string{"net/http": {"a.go"}}}
	if _, err := m.reroute("b.go", []byte("package m\n\nimport \"net/http\"\n"), map[string]int{}); err == nil {
		t.Error("no error")
	}
	text, err := m.reroute("a.go", []byte("package m\n\nimport \"net/http\"\n"), map[string]int{})
	if want := "package m\n\nimport \"m/internal/slim/net/http\"\n"; err != nil || string(text) != want {
		t.Errorf("got %q, %v, want %q", text, err, want)
	}
}
