//go:build !js

package conformance

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// A docRow is one option of docs/options.md.
type docRow struct{ js, field, def, does, test string }

var (
	code         = regexp.MustCompile("^`([^`]+)`")
	jsRule       = regexp.MustCompile(`(?m)^  (\w+): `)
	jsDoc        = regexp.MustCompile(`(?s)/\*\*((?:[^*]|\*[^/])*)\*/\s*(\w+)\?:`)
	tellsDefault = regexp.MustCompile(`Default (?:of )?"?([^".:;]+(?:\.\d+)?)"?[.:;]`)
)

func TestOptionsAreDocumentedAsTheyAre(t *testing.T) {
	rows := docRows(t)
	options, defaults := jsOptions(t)
	fields := configFields(reflect.TypeFor[hub.Config](), "")
	names, settings := map[string]docRow{}, map[string]docRow{}
	for _, row := range rows {
		if row.js != "" {
			names[row.js] = row
		}
		if row.field != "" {
			settings[row.field] = row
		}
		if row.does == "" || row.def == "" {
			t.Errorf("docs/options.md: %s%s: want a default and what it does", row.js, row.field)
		}
	}
	for _, name := range options {
		if _, ok := names[name]; !ok {
			t.Errorf("the option %s of npm/src/options.ts is not in docs/options.md: add a row with its default, what it does and the test that proves it", name)
		}
	}
	for _, field := range fields {
		if _, ok := settings[field]; !ok {
			t.Errorf("the field %s of hub.Config is not in docs/options.md: add a row with its default, what it does and the test that proves it", field)
		}
	}
	for name, row := range names {
		if !slices.Contains(options, name) {
			t.Errorf("docs/options.md has the option %s, which npm/src/options.ts lacks: remove the row, or build the option", name)
		}
		if def, ok := defaults[name]; ok && !strings.Contains(row.def, def) {
			t.Errorf("docs/options.md says that the default of %s is %q, npm/src/options.ts says %q", name, row.def, def)
		}
		if o, ok := optionTable[name]; ok && name != "discovery" && name != "repair" && o.field != row.field {
			t.Errorf("docs/options.md says that %s is hub.Config's %q; in the scenarios it is %q (conformance/options_test.go)", name, row.field, o.field)
		}
	}
	for field := range settings {
		if !slices.Contains(fields, field) {
			t.Errorf("docs/options.md has the field %s, which hub.Config lacks: remove the row, or build the field", field)
		}
	}
	proofs := proofs(t)
	for _, row := range rows {
		if !proofs[row.test] {
			t.Errorf("docs/options.md: %s%s is proven by %q, which is neither a scenario, nor a test of npm/test, nor one of Go's", row.js, row.field, row.test)
		}
	}
}

// docRows are the rows of the table.
func docRows(t *testing.T) (rows []docRow) {
	t.Helper()
	for line := range strings.Lines(source(t, "../docs/options.md")) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 5 || strings.HasPrefix(line, "| JavaScript") || strings.HasPrefix(line, "| ---") {
			continue
		}
		cells[0] = strings.TrimPrefix(cells[0], "| ")
		cells[4] = strings.TrimSuffix(cells[4], " |")
		named := func(cell string) string {
			if m := code.FindStringSubmatch(cell); m != nil {
				return m[1]
			}
			return ""
		}
		rows = append(rows, docRow{named(cells[0]), named(cells[1]), cells[2], cells[3], strings.Trim(cells[4], `"`)})
	}
	if len(rows) == 0 {
		t.Fatal("docs/options.md has no table of five columns")
	}
	return rows
}

// jsOptions are the names that npm/src/options.ts knows, and the defaults that it tells.
func jsOptions(t *testing.T) (names []string, defaults map[string]string) {
	t.Helper()
	text := source(t, "../npm/src/options.ts")
	part := func(after string) string {
		_, rest, ok := strings.Cut(text, after)
		part, _, closed := strings.Cut(rest, "\n};\n")
		if !ok || !closed {
			t.Fatalf("npm/src/options.ts has no %q", after)
		}
		return part
	}
	inner := map[string]string{"discovery": "DiscoveryOptions", "repair": "RepairOptions"}
	for _, m := range jsRule.FindAllStringSubmatch(part("const rules: Record<keyof KinopioOptions, Rule> = {\n"), -1) {
		if inner[m[1]] == "" {
			names = append(names, m[1])
		}
	}
	for of, kind := range inner {
		for _, m := range jsRule.FindAllStringSubmatch(part("const "+of+"Rules: Record<keyof "+kind+", Rule> = {\n"), -1) {
			names = append(names, of+"."+m[1])
		}
	}
	defaults = map[string]string{}
	for _, m := range jsDoc.FindAllStringSubmatch(text, -1) {
		if def := tellsDefault.FindStringSubmatch(m[1]); def != nil {
			name := m[2]
			for of := range inner {
				if slices.Contains(names, of+"."+name) {
					name = of + "." + name
				}
			}
			defaults[name] = strings.TrimSuffix(def[1], " ms")
		}
	}
	if len(defaults) < 20 {
		t.Fatalf("the comments of npm/src/options.ts tell only %d defaults: has their form changed?", len(defaults))
	}
	return names, defaults
}

// configFields are the fields of a struct of ours, those of structs in it with a dot.
func configFields(of reflect.Type, prefix string) (names []string) {
	for i := range of.NumField() {
		f := of.Field(i)
		if !f.IsExported() {
			continue
		}
		if f.Type.Kind() == reflect.Struct && f.Type.PkgPath() == of.PkgPath() {
			names = append(names, configFields(f.Type, prefix+f.Name+".")...)
		} else {
			names = append(names, prefix+f.Name)
		}
	}
	return names
}

// proofs are all tests that a row may name.
func proofs(t *testing.T) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, f := range files(t) {
		for _, s := range f.Scenarios {
			all[s.Name] = true
		}
	}
	for pattern, title := range map[string]*regexp.Regexp{
		"../npm/test/*.test.mjs": regexp.MustCompile(`(?m)^test\("([^"]+)"`),
		"../hub/*_test.go":       regexp.MustCompile(`(?m)^func (Test\w+)\(`),
		"*_test.go":              regexp.MustCompile(`(?m)^func (Test\w+)\(`),
	} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s: no files: %v", pattern, err)
		}
		for _, path := range paths {
			for _, m := range title.FindAllStringSubmatch(source(t, path), -1) {
				all[m[1]] = true
			}
		}
	}
	return all
}

func source(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
