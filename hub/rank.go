package hub

import (
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// order puts the servers in the order that a hub keeps for its life.
func order(servers []string, selection Selection) []string {
	servers = slices.Clone(servers)
	if selection == Random {
		rand.Shuffle(len(servers), func(i, j int) { servers[i], servers[j] = servers[j], servers[i] })
	}
	return servers
}

// rank is the order of one round of attempts. known, if not "", is the server that worked a moment
// ago; it comes first, unless the list itself says which is better.
func (h *Hub) rank(known string) []target {
	targets := make([]target, 0, len(h.cfg.Servers))
	for _, url := range h.cfg.Servers {
		targets = append(targets, target{url: url, via: viaConfigured})
	}
	if h.cfg.Selection == Ordered {
		return targets
	}
	if i := slices.Index(targets, target{url: known, via: viaConfigured}); i > 0 {
		first := targets[i]
		targets = append([]target{first}, slices.Delete(targets, i, i+1)...)
	}
	return targets
}

// preferred are the servers before here in the order of the list, if that is what the order is for.
func (h *Hub) preferred(here target) []target {
	if h.cfg.Selection != Ordered || here.via != viaConfigured {
		return nil
	}
	targets := h.rank("")
	return targets[:max(0, slices.Index(targets, here))]
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

// stagger is the head start that a server has over the next one in the list, so that there is another
// connection soon where one does not answer (RFC 8305 does the same with the addresses of one host).
const stagger = 300 * time.Millisecond

// patience is how long to wait for a server that may be nearer than the one that has answered first,
// after the given time. What can be gained is at most its round trip: where that is worth it, a
// server that was slow to take the connection gets its chance, too.
func patience(elapsed, trip, worth time.Duration) time.Duration {
	wait := min(max(elapsed/8, 2*time.Millisecond), 250*time.Millisecond)
	if trip > worth {
		wait = max(wait, min(elapsed, time.Second), 500*time.Millisecond)
	}
	return wait
}
