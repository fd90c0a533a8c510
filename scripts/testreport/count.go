package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

// event is a line of go test -json.
type event struct {
	Action     string
	Package    string
	ImportPath string // of a build
	Test       string
	Output     string
	Elapsed    float64
}

// countGo counts the tests and subtests in the output of go test -json. It prints a line for
// each package, and all that a test said which did not pass.
func countGo(in io.Reader, out io.Writer) (t tally, err error) {
	said := map[string][]string{} // by package and test
	failures := map[string]int{}  // by package
	passes := map[string]int{}
	err = lines(in, func(line string) {
		var e event
		if json.Unmarshal([]byte(line), &e) != nil {
			fmt.Fprintln(out, line)
			return
		}
		key := e.Package + " " + e.Test
		switch e.Action {
		case "output":
			if e.Test != "" || !strings.HasPrefix(e.Output, "ok ") {
				said[key] = append(said[key], e.Output)
			}
		case "build-output":
			fmt.Fprint(out, e.Output)
		case "pass", "fail", "skip":
			if e.Test == "" {
				if e.Action == "fail" && failures[e.Package] == 0 { // it did not build, or ended early
					t.failed++
				}
				if e.Action == "fail" {
					fmt.Fprint(out, strings.Join(said[key], ""))
				}
				if e.Action == "fail" || passes[e.Package] > 0 {
					fmt.Fprintf(out, "%s %s: %d tests, %.1f s\n", e.Action, e.Package, passes[e.Package]+failures[e.Package], e.Elapsed)
				}
				return
			}
			switch e.Action {
			case "pass":
				t.passed++
				passes[e.Package]++
			case "fail":
				t.failed++
				failures[e.Package]++
				fmt.Fprint(out, strings.Join(said[key], ""))
			case "skip":
				fmt.Fprint(out, strings.Join(said[key], ""))
				if name := strings.TrimSpace(e.Package + "." + e.Test); skips[name] == "" {
					t.skipped = append(t.skipped, name)
				}
			}
			delete(said, key)
		}
	})
	return t, err
}

// summary is a line at the end of the output of node --test, by any of its reporters.
var summary = regexp.MustCompile(`^(?:#|ℹ) (pass|fail|cancelled|skipped|todo) (\d+)$`)

// countNode passes on the output of node --test, and takes the counts from its end.
func countNode(in io.Reader, out io.Writer) (t tally, err error) {
	err = lines(in, func(line string) {
		fmt.Fprintln(out, line)
		m := summary.FindStringSubmatch(line)
		if m == nil {
			return
		}
		n, _ := strconv.Atoi(m[2])
		switch m[1] {
		case "pass":
			t.passed += n
		case "fail", "cancelled":
			t.failed += n
		case "skipped", "todo":
			if n > 0 {
				t.skipped = append(t.skipped, fmt.Sprintf("%d tests in Node", n))
			}
		}
	})
	return t, err
}

// lines calls f for each line, however long.
func lines(in io.Reader, f func(string)) error {
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if line != "" {
			f(strings.TrimRight(line, "\r\n"))
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
