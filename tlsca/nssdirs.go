package tlsca

import (
	"os"
	"path/filepath"
	"slices"
)

type nssDatabase struct{ owner, dir string }

// nssDatabases finds the NSS databases of m's user: the one that Chromium and its kin
// share, those of browsers in a snap or flatpak, and one for each Firefox profile.
func nssDatabases(m Machine) []nssDatabase {
	if m.Home == "" {
		return nil
	}
	var found []nssDatabase
	add := func(owner string, dirs ...string) {
		for _, dir := range dirs {
			if !slices.ContainsFunc(found, func(have nssDatabase) bool { return sameFile(have.dir, dir) }) {
				found = append(found, nssDatabase{owner, dir})
			}
		}
	}
	in := func(base string, pattern ...string) []string {
		matches, _ := filepath.Glob(filepath.Join(append([]string{base}, pattern...)...)) // Fails only for a bad pattern.
		return matches
	}

	// Chromium reads ~/.pki/nssdb, and newer ones the XDG place where that is not
	// there: making the first beside the second would hide the second.
	classic, xdg := filepath.Join(m.Home, ".pki", "nssdb"), filepath.Join(m.DataHome, "pki", "nssdb")
	if hasDatabase(xdg) {
		add("Chromium", xdg)
	}
	if hasDatabase(classic) || len(found) == 0 {
		add("Chromium", classic)
	}
	for _, pattern := range [][]string{
		{"snap", "*", "current", ".pki", "nssdb"},
		{".var", "app", "*", ".pki", "nssdb"},
		{".var", "app", "*", "data", "pki", "nssdb"},
	} {
		for _, dir := range in(m.Home, pattern...) {
			if hasDatabase(dir) {
				add("Chromium in a sandbox", dir)
			}
		}
	}

	for _, profiles := range []struct {
		owner string
		dirs  []string
	}{
		{"Firefox", in(m.Home, ".mozilla", "firefox", "*")},
		{"Firefox", in(m.ConfigHome, "mozilla", "firefox", "*")},
		{"Firefox (snap)", in(m.Home, "snap", "firefox", "common", ".mozilla", "firefox", "*")},
		{"Firefox (flatpak)", in(m.Home, ".var", "app", "*", ".mozilla", "firefox", "*")},
		{"Firefox (flatpak)", in(m.Home, ".var", "app", "*", "config", "mozilla", "firefox", "*")},
		{"LibreWolf", in(m.Home, ".librewolf", "*")},
	} {
		for _, dir := range profiles.dirs {
			if isProfile(dir) {
				add(profiles.owner, dir)
			}
		}
	}
	return found
}

func hasDatabase(dir string) bool { return exists(filepath.Join(dir, "cert9.db")) }

// isProfile: a profile that was made but never used has no database yet.
func isProfile(dir string) bool {
	return hasDatabase(dir) || exists(filepath.Join(dir, "times.json")) || exists(filepath.Join(dir, "prefs.js"))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// sameFile sees through links: a snap's «current» is one.
func sameFile(a, b string) bool {
	if a == b {
		return true
	}
	ia, err := os.Stat(a)
	if err != nil {
		return false
	}
	ib, err := os.Stat(b)
	return err == nil && os.SameFile(ia, ib)
}
