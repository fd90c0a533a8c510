//go:build !js

package natswire

import "testing"

func FuzzNumber(f *testing.F) {
	f.Add("Kseq:4tZqP0a1.2s")
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := ParseNumber(text)
		if !ok {
			return
		}
		if again, ok := ParseNumber(AppendNumber(nil, n)); !ok || again != n {
			t.Errorf("%q is %v, and again %v", text, n, again)
		}
	})
}
