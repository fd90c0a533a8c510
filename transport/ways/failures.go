package ways

import "time"

// Chromium holds up a page's next handshakes for each that has failed in the last minutes: a few are not felt, twelve are
// ten seconds. So the time until another attempt grows.
const (
	remember     = 5 * time.Minute
	firstPause   = time.Second
	longestPause = time.Minute
)

// failures are when handshakes of this page have failed.
type failures []time.Time

func (f *failures) add(now time.Time) { *f = append(*f, now) }

// pause is the time until another attempt may be made; 0 is now.
func (f *failures) pause(now time.Time) time.Duration {
	for len(*f) > 0 && now.Sub((*f)[0]) >= remember {
		*f = (*f)[1:]
	}
	n := len(*f)
	if n == 0 {
		return 0
	}
	pause := longestPause
	if n <= 3 {
		pause = firstPause << (2 * (n - 1))
	}
	return max(0, pause-now.Sub((*f)[n-1]))
}
