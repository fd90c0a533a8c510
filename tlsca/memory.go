package tlsca

import (
	"encoding/json"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
)

const memoryFileName = "trust.json"

// trustMemory is what is remembered of trust stores, for one root. Whether a store has
// the root is not among it: that is asked each time.
type trustMemory struct {
	Fingerprint string   `json:"fingerprint"`
	Removed     bool     `json:"removed,omitempty"`  // Somebody took the root out, and meant it.
	Declined    []string `json:"declined,omitempty"` // Stores whose question was not answered with yes.
}

func (m trustMemory) declined(s Store) bool { return slices.Contains(m.Declined, s.Info().Name) }

func (m *trustMemory) decline(s Store) {
	if !m.declined(s) {
		m.Declined = append(slices.Clone(m.Declined), s.Info().Name)
	}
}

// recall reads what is remembered of this root. What cannot be read, or is about
// another root, is forgotten.
func (ca *CA) recall() trustMemory {
	fresh := trustMemory{Fingerprint: ca.Fingerprint()}
	data, err := givenfile.ReadAgain(filepath.Join(ca.dir, memoryFileName), maxPEMFile)
	if err != nil {
		return fresh
	}
	if m, ok := parseMemory(data); ok && m.Fingerprint == fresh.Fingerprint {
		return m
	}
	return fresh
}

func parseMemory(data []byte) (m trustMemory, ok bool) {
	return m, json.Unmarshal(data, &m) == nil
}

// remember writes what has changed. Without it the next run only asks once more.
func (ca *CA) remember(before, now trustMemory, log *slog.Logger) {
	if before.Removed == now.Removed && slices.Equal(before.Declined, now.Declined) {
		return
	}
	data, err := json.Marshal(now)
	if err == nil {
		err = writeFile(filepath.Join(ca.dir, memoryFileName), append(data, '\n'), 0o600)
	}
	if err != nil {
		log.Warn("cannot remember the state of trust", "error", err)
	}
}
