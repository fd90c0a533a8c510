package e2e

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// packedPackage is what npm would publish, without the programs of the platforms.
type packedPackage struct {
	tarball   string
	dist      string            // the folder dist in it
	integrity map[string]string // dist/integrity.json
}

var packOnce = sync.OnceValues(func() (*packedPackage, error) {
	out, err := filepath.Abs(filepath.Join("out", "pack"))
	if err != nil {
		return nil, err
	}
	command := exec.Command("node", filepath.Join("..", "scripts", "pack.mjs"), "--platforms", "", "--out", out)
	command.Stderr = os.Stderr
	if err := command.Run(); err != nil {
		return nil, err
	}
	p := &packedPackage{dist: filepath.Join(out, "stage", "kinopio-hub", "dist")}
	var manifest []struct{ File string }
	if err := readJSON(filepath.Join(out, "manifest.json"), &manifest); err != nil {
		return nil, err
	}
	p.tarball = filepath.Join(out, manifest[0].File)
	return p, readJSON(filepath.Join(p.dist, "integrity.json"), &p.integrity)
})

// packed packs the package once, and returns what came out.
func packed(t *testing.T) *packedPackage {
	t.Helper()
	artefacts(t)
	tool(t, "node", "nodejs")
	p, err := packOnce()
	if err != nil {
		t.Fatalf("pack the package: %v", err)
	}
	return p
}

func readJSON(file string, into any) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
