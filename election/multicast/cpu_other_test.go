//go:build !unix

package multicast

import "time"

// cpuTime is for tests in network namespaces.
func cpuTime() time.Duration { return 0 }
