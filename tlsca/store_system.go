package tlsca

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"
)

// systemWay is how one family of Linux distributions keeps its trusted roots: files in
// a directory, from which a program makes the bundle that OpenSSL, curl and Go read.
type systemWay struct {
	family  string
	anchors string
	update  []string
	bundle  string
}

// The first whose directory and program are there is used. Debian is last, because
// others have a program of the same name.
var systemWays = []systemWay{
	{"Fedora", "/etc/pki/ca-trust/source/anchors", []string{"update-ca-trust", "extract"}, "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem"},
	{"Arch", "/etc/ca-certificates/trust-source/anchors", []string{"update-ca-trust"}, "/etc/ca-certificates/extracted/tls-ca-bundle.pem"},
	{"SUSE", "/etc/pki/trust/anchors", []string{"update-ca-certificates"}, "/var/lib/ca-certificates/ca-bundle.pem"},
	{"Debian", "/usr/local/share/ca-certificates", []string{"update-ca-certificates"}, "/etc/ssl/certs/ca-certificates.crt"},
}

// maxBundle is far above any distribution's bundle (about 250 KiB).
const maxBundle = 16 << 20

type systemStore struct {
	m   Machine
	way systemWay
}

func findSystemStore(m Machine) *systemStore {
	for _, way := range systemWays {
		if info, err := os.Stat(m.root + way.anchors); err != nil || !info.IsDir() {
			continue
		}
		if _, err := m.Runner.Find(way.update[0]); err == nil {
			return &systemStore{m: m, way: way}
		}
	}
	return nil
}

func (s *systemStore) Info() StoreInfo {
	return StoreInfo{Kind: "system", Name: fmt.Sprintf("system, as %s does it (%s)", s.way.family, s.way.anchors), Shared: true, Asks: !*s.m.admin}
}

// Contains looks into the bundle, which is what programs read.
func (s *systemStore) Contains(_ context.Context, a Anchor) (bool, error) {
	path := s.m.root + s.way.bundle
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if info.Size() > maxBundle {
		return false, fmt.Errorf("%s: larger than %d MiB: not a bundle of certificates", path, maxBundle>>20)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	return bundleHas(data, a.DER), nil
}

// bundleHas finds a certificate among PEM blocks and whatever stands between them.
func bundleHas(bundle, der []byte) bool {
	for {
		block, rest := pem.Decode(bundle)
		if block == nil {
			return false
		}
		if block.Type == "CERTIFICATE" && bytes.Equal(block.Bytes, der) {
			return true
		}
		bundle = rest
	}
}

func (s *systemStore) Install(ctx context.Context, a Anchor) error {
	return s.edit(ctx, "install", "-D", "-m", "0644", a.File, filepath.Join(s.way.anchors, a.fileName()))
}

func (s *systemStore) Remove(ctx context.Context, a Anchor) error {
	return s.edit(ctx, "rm", "-f", filepath.Join(s.way.anchors, a.fileName()))
}

// editTime is far above what the slowest of these programs takes (half a minute seen).
const editTime = 5 * time.Minute

// edit runs the command that changes the directory, then the one that makes the bundle.
// What has begun is not cut short by ctx: with half a bundle no program of this machine
// would trust anybody. For the same reason only one process edits at a time.
func (s *systemStore) edit(ctx context.Context, change ...string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	// The directory itself is locked: a file of this user's would keep out all others.
	lock := flock.New(s.m.root+s.way.anchors, flock.SetFlag(os.O_RDONLY))
	if _, err := lock.TryLockContext(ctx, lockRetry); err != nil {
		return fmt.Errorf("another process edits the system's store: %w", err)
	}
	defer lock.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), editTime)
	defer cancel()
	for _, line := range [][]string{change, s.way.update} {
		path, err := s.m.Runner.Find(line[0])
		if err != nil {
			return err
		}
		c, err := s.m.asAdmin(Command{Path: path, Args: line[1:]})
		if err != nil {
			return err
		}
		if _, err := s.m.Runner.Run(ctx, c); err != nil {
			if c.Path != path && !s.m.Prompt { // sudo that was not allowed to ask.
				return fmt.Errorf("%w (%w)", ErrNeedsRights, err)
			}
			return err
		}
	}
	return nil
}
