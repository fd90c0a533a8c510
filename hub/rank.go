package hub

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// rank orders the configured servers for one round of attempts. known, if not "", is the
// server that worked a moment ago; it comes first.
func rank(servers []string, selection Selection, known string) []target {
	targets := make([]target, 0, len(servers))
	for _, url := range servers {
		targets = append(targets, target{url: url, via: viaConfigured})
	}
	if selection == Random {
		rand.Shuffle(len(targets), func(i, j int) { targets[i], targets[j] = targets[j], targets[i] })
	}
	if i := slices.Index(targets, target{url: known, via: viaConfigured}); i > 0 {
		first := targets[i]
		targets = append([]target{first}, slices.Delete(targets, i, i+1)...)
	}
	return targets
}

func randomFraction() float64 { return rand.Float64() }

// retryDelay is the time after the given round (from 0) in which no server was reached:
// full jitter, fraction of a delay that grows by RetryFactor up to MaxRetryDelay, but never
// below ReconnectWait. See "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
func retryDelay(cfg *Config, round int, fraction float64) time.Duration {
	ceiling := float64(cfg.RetryDelay) * math.Pow(cfg.RetryFactor, float64(round))
	ceiling = min(ceiling, float64(cfg.MaxRetryDelay))
	return max(time.Duration(fraction*ceiling), min(cfg.ReconnectWait, cfg.MaxRetryDelay))
}

// stagger is the head start that a server has over the next one in the list, so that one
// that does not answer keeps a good one away for no longer (RFC 8305 does the same with the
// addresses of one host).
const stagger = 300 * time.Millisecond

// patience is how long to wait for a server that may be faster than the one that has
// answered first, after the given time: connecting takes every server the same number of
// round trips, so one that is nearer cannot need much more time.
func patience(elapsed time.Duration) time.Duration {
	return min(max(elapsed/4, 2*time.Millisecond), 250*time.Millisecond)
}
