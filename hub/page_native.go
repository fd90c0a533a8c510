//go:build !js

package hub

import "time"

// defaultPage: a native program runs in no page.
func defaultPage() Page { return nil }

// pulseEvery: natively the engine's own pings find dead connections.
func pulseEvery(time.Duration, bool) time.Duration { return 0 }
