package tlsca

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"
)

const (
	previousFileName = "root-ca-previous.pem"
	mostPrevious     = 16

	// A root that begins later than this from now was made by a clock that was wrong. A clock
	// that is slow by less is not the root's fault.
	mostAhead = 365 * 24 * time.Hour
)

// earliest is a time that no right clock shows before: when this was written, or built.
func earliest() time.Time {
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key != "vcs.time" {
				continue
			}
			if built, err := time.Parse(time.RFC3339, s.Value); err == nil && built.After(at) {
				at = built
			}
		}
	}
	return at
}

// untimely says why a root cannot be of use at now; "" if it can, or if the clock is wrong, which
// is no reason to give a root up.
func untimely(root *x509.Certificate, now time.Time) string {
	switch {
	case now.Before(earliest()):
		return ""
	case now.After(root.NotAfter):
		return "it ended on " + root.NotAfter.Format(time.DateOnly)
	case root.NotBefore.After(now.Add(mostAhead)):
		return "it begins on " + root.NotBefore.Format(time.DateOnly) + " only: it was made when this machine's clock was wrong"
	}
	return ""
}

// unlimited says what a root may do that roots made now may not.
func unlimited(root *x509.Certificate) string {
	switch {
	case len(root.ExtKeyUsage) != 1 || root.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth || len(root.UnknownExtKeyUsage) > 0:
		return "it may sign for more than servers"
	case len(root.PermittedEmailAddresses) == 0 || len(root.PermittedURIDomains) == 0:
		return "it may sign for e-mail addresses and URIs"
	}
	return ""
}

// replace makes a new root in the place of one that cannot be used any more. The old one's key is
// gone then; its certificate is kept, so that trust stores can be rid of it.
func (ca *CA) replace(why string, hostnames []string, log *slog.Logger) (*CA, error) {
	path := filepath.Join(ca.dir, previousFileName)
	previous := append([]*x509.Certificate{ca.root}, readPrevious(path)...)
	if err := writePrevious(path, previous); err != nil {
		return nil, fmt.Errorf("keep the previous root: %w", err)
	}
	for _, name := range ca.root.PermittedDNSDomains {
		if _, err := permittedDNS("", []string{name}); err == nil {
			hostnames = append(slices.Clone(hostnames), name)
		}
	}
	memory := ca.recall()
	next, err := create(ca.dir, hostnames, log)
	if err != nil {
		return nil, err
	}
	if memory.Removed {
		next.remember(next.recall(), trustMemory{Fingerprint: next.Fingerprint(), Removed: true}, log)
	}
	log.Warn("made a new root CA in the place of one that cannot be used any more; browsers and devices must trust the new one",
		"dir", ca.dir, "why", why, "old", ca.Fingerprint(), "new", next.Fingerprint())
	return next, nil
}

// Previous lists the roots that were replaced and may still be in a trust store.
func (ca *CA) Previous() []*x509.Certificate {
	return readPrevious(filepath.Join(ca.dir, previousFileName))
}

func readPrevious(path string) (all []*x509.Certificate) {
	data, err := readPEM(path)
	if err != nil {
		return nil
	}
	for len(all) < mostPrevious {
		block, rest := pem.Decode(data)
		if block == nil {
			break
		}
		data = rest
		if c, err := x509.ParseCertificate(block.Bytes); err == nil && block.Type == "CERTIFICATE" {
			all = append(all, c)
		}
	}
	return all
}

func writePrevious(path string, all []*x509.Certificate) error {
	if len(all) == 0 {
		err := os.Remove(path)
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return err
	}
	var data []byte
	for _, c := range all[:min(len(all), mostPrevious)] {
		data = append(data, certPEM(c.Raw)...)
	}
	return writeFile(path, data, 0o644)
}

// retire takes the roots that were replaced out of stores, as far as that is allowed, and
// forgets those that are in none of them. What could not be done is tried again another time.
func (ca *CA) retire(ctx context.Context, o TrustOptions, stores []Store) {
	previous := ca.Previous()
	if len(previous) == 0 {
		return
	}
	var left []*x509.Certificate
	for _, root := range previous {
		a := anchorOf(root, filepath.Join(ca.dir, previousFileName))
		still := false
		for _, s := range each(stores, func(s Store) StoreStatus {
			in, status := look(ctx, s, a)
			if !in || o.Automatic && (s.Info().Shared || s.Info().Asks) {
				return status
			}
			return change(ctx, s, a, false)
		}) {
			still = still || s.State != TrustSkipped
		}
		if still || len(o.Kinds) > 0 {
			left = append(left, root)
		}
	}
	if len(left) == len(previous) {
		return
	}
	if err := writePrevious(filepath.Join(ca.dir, previousFileName), left); err != nil {
		o.Logger.Warn("cannot forget a previous root", "error", err)
	}
}
