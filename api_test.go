package kinopiohub_test

import (
	"os/exec"
	"regexp"
	"testing"
)

// What only the browser bridge may use is not in what programs are shown of package hub, nor is any internal package.
func TestProgramsAreShownNothingOfTheBridge(t *testing.T) {
	text, err := exec.Command("go", "doc", "-all", "./hub").CombinedOutput()
	if err != nil {
		t.Fatalf("go doc: %v\n%s", err, text)
	}
	if !regexp.MustCompile(`func \(h \*Hub\) Publish\(`).Match(text) {
		t.Fatalf("go doc shows no Hub.Publish:\n%s", text)
	}
	hidden := regexp.MustCompile(`(?m)^.*\b(Burst|Runs?|OnBatch|KeepValues|Receipt|Inline|Awaited|internal/\w+|bridge\.\w+|natswire)\b.*$`)
	for _, line := range hidden.FindAll(text, -1) {
		t.Errorf("go doc ./hub shows %q", line)
	}
}
