package tlsca

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// nssStore is one database of Mozilla's NSS, which Chromium and Firefox read on Linux.
// NSS's own certutil edits it; the format is nobody else's.
type nssStore struct {
	m     Machine
	owner string
	dir   string
}

func (s *nssStore) Info() StoreInfo {
	return StoreInfo{Kind: "nss", Name: fmt.Sprintf("%s (%s)", s.owner, s.dir), Browsers: true}
}

func (s *nssStore) certutil(ctx context.Context, args ...string) error {
	path, err := s.m.Runner.Find("certutil")
	if err != nil {
		return fmt.Errorf("%w: it is in libnss3-tools (Debian), nss-tools (Fedora), nss (Arch) or mozilla-nss-tools (SUSE)", err)
	}
	_, err = s.m.Runner.Run(ctx, Command{Path: path, Args: append([]string{"-d", "sql:" + s.dir}, args...)})
	return nssTrouble(s.dir, err)
}

func (s *nssStore) exists() bool {
	_, err := os.Stat(filepath.Join(s.dir, "cert9.db"))
	return err == nil
}

// Contains lets NSS judge: -V -u L verifies the named certificate as a CA for servers.
// The name holds the fingerprint.
func (s *nssStore) Contains(ctx context.Context, a Anchor) (bool, error) {
	if !s.exists() {
		return false, nil
	}
	err := s.certutil(ctx, "-V", "-u", "L", "-n", a.Name)
	return err == nil, commandFailed(ctx, err)
}

func (s *nssStore) Install(ctx context.Context, a Anchor) error {
	if !s.exists() {
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return err
		}
		if err := s.certutil(ctx, "-N", "--empty-password"); err != nil {
			return err
		}
	}
	return s.certutil(ctx, "-A", "-t", "C,,", "-n", a.Name, "-i", a.File)
}

func (s *nssStore) Remove(ctx context.Context, a Anchor) error {
	if !s.exists() {
		return nil
	}
	return s.certutil(ctx, "-D", "-n", a.Name)
}
