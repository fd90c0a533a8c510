package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A result is one work. Its samples are in Unit, of which less is better, except where Unit
// ends in "/s". Round i of both sides was measured one right after the other.
type result struct {
	Suite  string    `json:"suite"`
	Work   string    `json:"work"`
	Unit   string    `json:"unit"`
	Ours   []float64 `json:"ours"`
	Peer   []float64 `json:"peer,omitempty"`
	PeerIs string    `json:"peerIs,omitempty"`
	Must   float64   `json:"must,omitempty"` // of the ratio; 0: none
	Goal   float64   `json:"goal,omitempty"` // of the ratio, where to get; 0: none

	OursMedian float64 `json:"oursMedian"`
	PeerMedian float64 `json:"peerMedian,omitempty"`
	Ratio      float64 `json:"ratio,omitempty"`    // of the medians
	RatioMin   float64 `json:"ratioMin,omitempty"` // of rounds
	RatioMax   float64 `json:"ratioMax,omitempty"`
	Met        *bool   `json:"met,omitempty"` // what must be; or the goal, if there is only that
}

// report is bench/results.json.
type report struct {
	Time     time.Time         `json:"time"`
	Commit   string            `json:"commit"`
	Modified bool              `json:"modified"` // the working tree differs from the commit
	Rounds   int               `json:"rounds"`
	Scale    float64           `json:"scale"`
	Machine  map[string]any    `json:"machine"`
	Versions map[string]string `json:"versions"`
	Results  []*result         `json:"results"`
	Errors   []string          `json:"errors,omitempty"`
}

// add completes r and takes it in.
func (rep *report) add(r *result) {
	r.OursMedian = median(r.Ours)
	if len(r.Peer) > 0 {
		r.PeerMedian = median(r.Peer)
	}
	if len(r.Peer) == len(r.Ours) && r.PeerMedian > 0 {
		r.Ratio = r.OursMedian / r.PeerMedian
		var ratios []float64
		for i := range r.Ours {
			if r.Peer[i] > 0 {
				ratios = append(ratios, r.Ours[i]/r.Peer[i])
			}
		}
		if len(ratios) > 0 {
			r.RatioMin, r.RatioMax = slices.Min(ratios), slices.Max(ratios)
		}
		if limit := cmp.Or(r.Must, r.Goal); limit > 0 {
			met := r.Ratio <= limit
			r.Met = &met
		}
	}
	rep.Results = append(rep.Results, r)
}

func median(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	switch n := len(s); {
	case n == 0:
		return 0
	case n%2 == 1:
		return s[n/2]
	default:
		return (s[n/2-1] + s[n/2]) / 2
	}
}

// table prints the results as a Markdown table.
func (rep *report) table(w io.Writer) {
	modified := ""
	if rep.Modified {
		modified = " and changes"
	}
	fmt.Fprintf(w, "commit %.12s%s, %d rounds, medians; ratio: ours to the peer's, lowest and highest of a round\n\n", rep.Commit, modified, rep.Rounds)
	t := tabwriter.NewWriter(w, 0, 0, 1, ' ', 0)
	fmt.Fprintln(t, "| suite\t| work\t| ours\t| peer\t| ratio\t| min – max\t| must\t| goal\t|")
	fmt.Fprintln(t, "| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t| ---\t|")
	for _, r := range rep.Results {
		peer, ratio, spread := "", "", ""
		if r.PeerMedian > 0 {
			peer = fmt.Sprintf("%s (%s)", number(r.PeerMedian, r.Unit), r.PeerIs)
			ratio = fmt.Sprintf("%.2f", r.Ratio)
			spread = fmt.Sprintf("%.2f – %.2f", r.RatioMin, r.RatioMax)
		}
		fmt.Fprintf(t, "| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t| %s\t|\n", r.Suite, r.Work, number(r.OursMedian, r.Unit), peer, ratio, spread, r.limit(r.Must), r.limit(r.Goal))
	}
	t.Flush()
	for _, e := range rep.Errors {
		fmt.Fprintln(w, "\nnot measured:", e)
	}
}

// limit says what the ratio should be, and whether it is.
func (r *result) limit(at float64) string {
	switch {
	case at == 0:
		return ""
	case r.Ratio <= at:
		return fmt.Sprintf("≤ %.2f", at)
	default:
		return fmt.Sprintf("≤ %.2f missed", at)
	}
}

func number(v float64, unit string) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f %s", v, unit)
	case v >= 1:
		return fmt.Sprintf("%.2f %s", v, unit)
	default:
		return fmt.Sprintf("%.4f %s", v, unit)
	}
}

// write keeps what was measured before of the same commit, of suites that did not run now.
func (rep *report) write(path string) error {
	before := report{}
	if text, err := os.ReadFile(path); err == nil && !rep.Modified {
		if err := json.Unmarshal(text, &before); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if before.Commit == rep.Commit && before.Rounds == rep.Rounds && before.Scale == rep.Scale && !before.Modified {
		now := map[string]bool{}
		for _, r := range rep.Results {
			now[r.Suite] = true
		}
		for _, r := range slices.Backward(before.Results) {
			if !now[r.Suite] {
				rep.Results = slices.Insert(rep.Results, 0, r)
			}
		}
		for name, version := range before.Versions {
			rep.Versions[name] = version
		}
	}
	text, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// repository is the folder of go.mod.
func repository() (string, error) {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("go env GOMOD: %w", err)
	}
	mod := strings.TrimSpace(string(out))
	if filepath.Base(mod) != "go.mod" {
		return "", errors.New("run the benchmark inside the repository: make bench")
	}
	return filepath.Dir(mod), nil
}

func newReport(ctx context.Context, root string, o options) (*report, error) {
	rep := &report{Time: time.Now().UTC().Truncate(time.Second), Rounds: o.rounds, Scale: o.scale, Versions: map[string]string{"go": runtime.Version()}}
	tell := func(name string, args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = root
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", name, strings.Join(args, " "), err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	var err error
	if rep.Commit, err = tell("git", "rev-parse", "HEAD"); err != nil {
		return nil, err
	}
	// All of it counts but text, and results, which this program and its like write.
	status, err := tell("git", "status", "--porcelain", "--", ".", ":(exclude)*.md", ":(exclude)*/results*.json")
	if err != nil {
		return nil, err
	}
	rep.Modified = status != ""
	if rep.Versions["node"], err = tell("node", "--version"); err != nil {
		return nil, err
	}
	var pkg struct{ Version string }
	text, err := os.ReadFile(filepath.Join(root, "npm/node_modules/@nats-io/nats-core/package.json"))
	if err == nil {
		err = json.Unmarshal(text, &pkg)
	}
	if err != nil {
		return nil, fmt.Errorf("the peer, from npm: %w", err)
	}
	rep.Versions["@nats-io/nats-core"] = pkg.Version
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, dep := range info.Deps {
			if strings.HasPrefix(dep.Path, "github.com/nats-io/nats") {
				rep.Versions[dep.Path] = dep.Version
			}
		}
	}
	rep.Machine, err = machine()
	return rep, err
}

// machine says what the figures were measured on.
func machine() (map[string]any, error) {
	m := map[string]any{"os": runtime.GOOS + "/" + runtime.GOARCH, "cpus": runtime.NumCPU()}
	for _, fact := range []struct{ file, field, as string }{
		{"/proc/cpuinfo", "model name", "cpu"},
		{"/proc/meminfo", "MemTotal", "memory"},
	} {
		f, err := os.Open(fact.file)
		if errors.Is(err, os.ErrNotExist) {
			continue // not Linux
		}
		if err != nil {
			return nil, err
		}
		for s := bufio.NewScanner(f); s.Scan(); {
			if name, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(name) == fact.field {
				m[fact.as] = strings.TrimSpace(value)
				break
			}
		}
		f.Close()
	}
	if load, err := os.ReadFile("/proc/loadavg"); err == nil {
		m["loadAtStart"] = strings.TrimSpace(string(load))
	}
	return m, nil
}
