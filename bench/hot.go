package main

import (
	"cmp"
	"fmt"
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
		names := map[int64]string{}
		for _, n := range got.Profile.Nodes {
			names[n.ID] = fmt.Sprintf("%s %s:%d", n.CallFrame.FunctionName, n.CallFrame.URL[max(0, len(n.CallFrame.URL)-30):], n.CallFrame.LineNumber+1)
		}
		self, total := map[string]int64{}, int64(0)
		for i, id := range got.Profile.Samples {
			if i < len(got.Profile.TimeDeltas) {
				self[names[id]] += got.Profile.TimeDeltas[i]
				total += got.Profile.TimeDeltas[i]
			}
		}
		hottest := make([]string, 0, len(self))
		for name := range self {
			hottest = append(hottest, name)
		}
		slices.SortFunc(hottest, func(a, b string) int { return cmp.Compare(self[b], self[a]) })
		fmt.Fprintf(t.hot, "%s: %d ms\n", title, total/1000)
		for _, name := range hottest[:min(30, len(hottest))] {
			fmt.Fprintf(t.hot, "%7.1f ms %5.1f %%  %s\n", float64(self[name])/1000, 100*float64(self[name])/float64(max(1, total)), name)
		}
		return nil
	}, err
}
