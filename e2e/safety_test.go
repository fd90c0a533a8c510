package e2e

import (
	"os"
	"testing"
)

// No test may touch the trust stores of whoever runs it: what is about trust gives its
// programs a home, and where it must a file system, of their own.
func TestMain(m *testing.M) {
	os.Setenv("KINOPIO_SKIP_CA_TRUST_INSTALL", "1")
	os.Exit(m.Run())
}
