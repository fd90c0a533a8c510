package main

import (
	"cmp"
	"fmt"
	"maps"
	"path"
	"slices"

	"github.com/chromedp/cdproto/profiler"
	"github.com/chromedp/chromedp"
)

// profile samples the page until stop, which prints the functions in which most time passed.
func (t *tab) profile(title string) (stop func() error, err error) {
	if t.hot == nil {
		return func() error { return nil }, nil
	}
	if _, err = chromedp.Call(t.ctx, profiler.Enable, cdpEmpty); err == nil {
		_, err = chromedp.Call(t.ctx, profiler.Start, cdpEmpty)
	}
	return func() error {
		got, err := chromedp.Call(t.ctx, profiler.Stop, cdpEmpty)
		if err != nil {
			return err
		}
		names, files := map[int64]string{}, map[int64]string{}
		for _, n := range got.Profile.Nodes {
			if files[n.ID] = path.Base(n.CallFrame.URL); n.CallFrame.URL == "" { // of the browser
				files[n.ID] = n.CallFrame.FunctionName
			}
			names[n.ID] = fmt.Sprintf("%s %s:%d", n.CallFrame.FunctionName, n.CallFrame.URL[max(0, len(n.CallFrame.URL)-30):], n.CallFrame.LineNumber+1)
		}
		self, of, total := map[string]int64{}, map[string]int64{}, int64(0)
		for i, id := range got.Profile.Samples {
			if i < len(got.Profile.TimeDeltas) {
				self[names[id]] += got.Profile.TimeDeltas[i]
				of[files[id]] += got.Profile.TimeDeltas[i]
				total += got.Profile.TimeDeltas[i]
			}
		}
		list := func(self map[string]int64, most int) {
			hottest := slices.SortedFunc(maps.Keys(self), func(a, b string) int { return cmp.Compare(self[b], self[a]) })
			for _, name := range hottest[:min(most, len(hottest))] {
				fmt.Fprintf(t.hot, "%7.1f ms %5.1f %%  %s\n", float64(self[name])/1000, 100*float64(self[name])/float64(max(1, total)), name)
			}
		}
		fmt.Fprintf(t.hot, "%s: %d ms, by file and by function\n", title, total/1000)
		list(of, 10)
		list(self, 30)
		return nil
	}, err
}
