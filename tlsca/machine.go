package tlsca

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
)

// Machine says where trust stores are looked for. Its zero value is the machine and
// the user of this process.
type Machine struct {
	OS         string // As runtime.GOOS. Empty: this one.
	Home       string // Empty: os.UserHomeDir().
	ConfigHome string // XDG_CONFIG_HOME. Empty: Home/.config.
	DataHome   string // XDG_DATA_HOME. Empty: Home/.local/share.
	Runner     Runner // nil: programs of this machine.

	// Prompt allows a question to the person at the terminal: a password for sudo, or
	// the system's own dialog.
	Prompt bool
	// Elevate allows sudo, which without Prompt is called so that it cannot ask.
	Elevate bool

	root  string // In front of absolute paths that are looked at; for tests.
	admin *bool  // nil: as this process is.
}

func (m Machine) normalize() Machine {
	if m.OS == "" {
		m.OS = runtime.GOOS
	}
	if m.Home == "" {
		m.Home, _ = os.UserHomeDir() // Without one there are only the system's stores.
	}
	if m.Home != "" && m.ConfigHome == "" {
		m.ConfigHome = filepath.Join(m.Home, ".config")
	}
	if m.Home != "" && m.DataHome == "" {
		m.DataHome = filepath.Join(m.Home, ".local", "share")
	}
	if m.Runner == nil {
		m.Runner = system{}
	}
	if m.admin == nil {
		admin := isAdmin()
		m.admin = &admin
	}
	return m
}

// Stores lists the trust stores of m. It looks at files and runs nothing.
func (m Machine) Stores() []Store {
	m = m.normalize()
	switch m.OS {
	case "darwin":
		return []Store{newKeychain(m)}
	case "windows":
		return []Store{&windowsRoot{m}}
	}
	var stores []Store
	for _, db := range nssDatabases(m) {
		stores = append(stores, &nssStore{m: m, owner: db.owner, dir: db.dir})
	}
	if s := findSystemStore(m); s != nil {
		stores = append(stores, s)
	}
	return stores
}

// asAdmin is c as an administrator runs it, or an error that wraps [ErrNeedsRights].
func (m Machine) asAdmin(c Command) (Command, error) {
	if *m.admin {
		return c, nil
	}
	if !m.Elevate {
		return c, ErrNeedsRights
	}
	sudo, err := m.Runner.Find("sudo")
	if err != nil {
		return c, ErrNeedsRights
	}
	for _, path := range []string{sudo, c.Path} { // What this user may replace is not run with more rights.
		if err := systemProgram(path); err != nil && m.Runner == (system{}) {
			return c, fmt.Errorf("%w: %w", ErrNeedsRights, err)
		}
	}
	args := []string{"--non-interactive", "--"}
	if m.Prompt {
		args = args[1:]
	}
	return Command{Path: sudo, Args: append(append(args, c.Path), c.Args...), Terminal: m.Prompt}, nil
}
