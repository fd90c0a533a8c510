package main

import (
	"io"
	"strings"
	"testing"
)

func TestGoTestsAreCounted(t *testing.T) {
	got, err := countGo(strings.NewReader(`
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"pass","Package":"p","Test":"TestA/sub"}
{"Action":"pass","Package":"p","Test":"TestA"}
{"Action":"fail","Package":"p","Test":"TestB"}
{"Action":"fail","Package":"p"}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"skip","Package":"empty"}
{"Action":"build-output","ImportPath":"q","Output":"q.go:1: no\n"}
{"Action":"fail","Package":"q"}
`), io.Discard)
	if err != nil || got.passed != 2 || got.failed != 2 || len(got.skipped) != 1 || got.skipped[0] != "p.TestC" {
		t.Fatalf("got %+v, %v", got, err)
	}
}

func TestNodeTestsAreCountedWithAnyReporter(t *testing.T) {
	for _, mark := range []string{"#", "ℹ"} {
		text := strings.ReplaceAll("ok 1 - x\n@ tests 7\n@ pass 4\n@ fail 2\n@ cancelled 1\n@ skipped 3\n@ todo 0\n", "@", mark)
		got, err := countNode(strings.NewReader(text), io.Discard)
		if err != nil || got.passed != 4 || got.failed != 3 || len(got.skipped) != 1 {
			t.Fatalf("%s: got %+v, %v", mark, got, err)
		}
	}
}

func TestASkippedTestFailsTheReport(t *testing.T) {
	command := []string{"printf", `{"Action":"pass","Package":"p","Test":"TestA"}\n{"Action":"skip","Package":"p","Test":"TestC"}\n`}
	if err := report("x", "go", "", command); err == nil || !strings.Contains(err.Error(), "p.TestC") {
		t.Fatalf("got %v", err)
	}
	if err := report("x", "go", "", []string{"true"}); err == nil {
		t.Fatal("nothing ran, and nothing was said")
	}
}
