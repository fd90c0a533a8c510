// Command testreport runs a command that tests, shortens what it prints, and counts. It fails
// when the command does, when a test failed, when one was skipped that is not in the list of
// skips, and when no test ran at all.
//
//	testreport -name go -results bin/test-results.txt -- go test -json ./...
//	testreport -name npm -format node -results bin/test-results.txt -- npm test
//
// To the file of results it adds a line "name passed failed".
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
)

// skips are the tests that may be skipped, each with the reason.
var skips = map[string]string{}

// A tally is what was counted.
type tally struct {
	passed, failed int
	skipped        []string // those that may not be
}

func main() {
	name := flag.String("name", "tests", "what is tested")
	format := flag.String("format", "go", `"go" for the output of go test -json, "node" for that of node --test`)
	results := flag.String("results", "", "the file to add the count to")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: testreport [flags] -- command...")
		os.Exit(2)
	}
	if err := report(*name, *format, *results, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func report(name, format, results string, command []string) error {
	count := countGo
	if format == "node" {
		count = countNode
	}
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("run %s: %w", command[0], err)
	}
	t, readErr := count(out, os.Stdout)
	_, _ = io.Copy(io.Discard, out)
	err = errors.Join(readErr, cmd.Wait())

	switch {
	case t.failed > 0:
		err = fmt.Errorf("%s: %d of %d tests failed", name, t.failed, t.passed+t.failed)
	case err != nil:
		t.failed++
		err = fmt.Errorf("%s: no test failed, but: %w", name, err)
	case len(t.skipped) > 0:
		t.failed += len(t.skipped)
		err = fmt.Errorf("%s: skipped, and not in the list of skips in scripts/testreport: %v", name, t.skipped)
	case t.passed == 0:
		t.failed++
		err = fmt.Errorf("%s: no test ran", name)
	}
	fmt.Printf("%s: %d passed, %d failed\n", name, t.passed, t.failed)
	if results != "" {
		err = errors.Join(err, addLine(results, fmt.Sprintf("%s %d %d\n", name, t.passed, t.failed)))
	}
	return err
}

func addLine(file, line string) error {
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}
