package e2e

import (
	"os"
	"testing"

	hosts "github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// No test may touch the trust stores of whoever runs it: what is about trust gives its
// programs a home, and where it must a file system, of their own.
func TestMain(m *testing.M) {
	os.Setenv("KINOPIO_SKIP_CA_TRUST_INSTALL", "1")
	hosts.Main(map[string]hosts.Role{"backbone": playBackbone, "page": playPage, "forward": playForward, "tunnel": playTunnel}) // does not return in a host's process
	os.Exit(m.Run())
}
