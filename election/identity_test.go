package election

import (
	"os"
	"path/filepath"
	"testing"
)

// What is kept in the cache may be damaged in any way: an agent then has a new identity.
func FuzzIdentityFilesNeverHinderAStart(f *testing.F) {
	f.Add([]byte("node-0123456789abcdef\n"), []byte("42\n"))
	f.Add([]byte("\x00\xff"), []byte("-1"))
	f.Add([]byte(""), []byte("99999999999999999999"))
	f.Fuzz(func(t *testing.T, node, count []byte) {
		cache := t.TempDir()
		dir := filepath.Join(cache, "kinopio-hub", "auto-leaf")
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for name, data := range map[string][]byte{"node-id": node, "node-id.count": count} {
			if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		id, err := openIdentity(cache, "")
		if err != nil {
			t.Fatal(err)
		}
		defer id.close()
		if checkName("node-id", id.node) != nil || id.count < 0 {
			t.Errorf("node %q, count %d", id.node, id.count)
		}
	})
}
