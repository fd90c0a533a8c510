//go:build !js

package conformance

import (
	"regexp"
	"testing"
)

func TestErrorCodesAreTheSameInBothLanguages(t *testing.T) {
	text := source(t, "../hub/errors.go")
	known := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^  \| "([A-Z_]+)"`).FindAllStringSubmatch(source(t, "../npm/src/errors.ts"), -1) {
		known[m[1]] = true
	}
	codes := map[string]string{}
	for _, m := range regexp.MustCompile(`\{(Err\w+), "([A-Z_]+)"\}`).FindAllStringSubmatch(text, -1) {
		codes[m[1]] = m[2]
	}
	sentinels := regexp.MustCompile(`(?m)^\t(Err\w+) += errors\.New`).FindAllStringSubmatch(text, -1)
	if len(sentinels) < 10 || len(known) < 10 {
		t.Fatalf("found %d sentinels and %d codes: has their form changed?", len(sentinels), len(known))
	}
	for _, m := range sentinels {
		switch code := codes[m[1]]; {
		case code == "":
			t.Errorf("hub.%s has no code: add it to Code in hub/errors.go", m[1])
		case !known[code]:
			t.Errorf("the code %s of hub.%s is not one of KinopioErrorCode: add it to npm/src/errors.ts", code, m[1])
		}
	}
}
