package conformance

import (
	"os"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// LabVariable tells a test in a browser where its lab is; e2e/wasmtest sets it.
const labVariable = "KINOPIO_CONFORMANCE_LAB"

func TestConformanceOfGoInABrowser(t *testing.T)           { suite(t, browser(t)) }
func TestWrongExpectationsFailInGoInABrowser(t *testing.T) { selfCheck(t, browser(t)) }

func browser(t *testing.T) platform {
	url := os.Getenv(labVariable)
	if url == "" {
		t.Fatalf("%s is not set: run the test with -exec bin/wasmtest", labVariable)
	}
	return platform{"Go in a browser", "ws", url}
}

// trusting is the browser's matter: it was told of the root before.
func trusting(string) *hub.TLSConfig { return nil }
