//go:build !js

package hub

import "time"

// defaultPage: a native program runs in no page.
func defaultPage() Page { return nil }

// pulseEvery is the time between the hub's own pings.
func pulseEvery(interval time.Duration, _ bool) time.Duration { return interval }
