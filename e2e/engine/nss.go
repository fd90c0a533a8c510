package engine

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// trustInNSS makes a database of certificates with trusted roots, as Chromium has it in its home on
// Linux, and Firefox in its profile.
func trustInNSS(ctx context.Context, folder string, rootFiles []string) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("make a database of certificates: %w", err)
	}
	todo := [][]string{{"-N", "--empty-password"}}
	for i, file := range rootFiles {
		todo = append(todo, []string{"-A", "-t", "C,,", "-n", fmt.Sprint("kinopio-hub tests ", i), "-i", file})
	}
	for _, args := range todo {
		if said, err := exec.CommandContext(ctx, "certutil", append([]string{"-d", "sql:" + folder}, args...)...).CombinedOutput(); err != nil {
			return fmt.Errorf("certutil %s (Debian: apt-get install libnss3-tools): %w: %s", strings.Join(args, " "), err, said)
		}
	}
	return nil
}
