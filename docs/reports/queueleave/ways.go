package main

import (
	"encoding/binary"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// A way is how a member leaves a server for another one.
type way struct {
	name  string
	joins int           // members that join the group on the other server first
	wait  time.Duration // from then until the first one leaves
	leave func(member *nats.Subscription) error
}

func ways(delay time.Duration) []way {
	unsub := (*nats.Subscription).Unsubscribe
	drain := (*nats.Subscription).Drain
	last := func(member *nats.Subscription) error {
		n, err := member.Delivered()
		if err != nil {
			return err
		}
		return member.AutoUnsubscribe(int(n) + 1)
	}
	trip := 2 * delay
	return []way{
		{"unsubscribe; nowhere else", 0, 0, unsub},
		{"unsubscribe; joined elsewhere 0 round trips before", 1, 0, unsub},
		{"unsubscribe; joined elsewhere 1 round trip before", 1, trip, unsub},
		{"unsubscribe; joined elsewhere 4 round trips before", 1, 4 * trip, unsub},
		{"drain; joined elsewhere 4 round trips before", 1, 4 * trip, drain},
		{"after one more message (UNSUB with max); joined elsewhere 4 round trips before", 1, 4 * trip, last},
		{"unsubscribe; joined elsewhere 4 times, 2 round trips before", 4, 2 * trip, unsub},
		{"unsubscribe; joined elsewhere 16 times, 2 round trips before", 16, 2 * trip, unsub},
		{"unsubscribe; joined elsewhere 64 times, 2 round trips before", 64, 2 * trip, unsub},
	}
}

// counts is how often each message came.
type counts struct {
	mu  sync.Mutex
	all map[uint64]int
	sum int
}

func (c *counts) take(m *nats.Msg) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all[binary.BigEndian.Uint64(m.Data)]++
	c.sum++
}

func (c *counts) of(n uint64) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.all[n]
}

func (c *counts) total() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sum
}

// try lets a member leave the third server for the second one, where another member stays, while
// messages are published at the first one.
func (c *cluster) try(w way, delay time.Duration, rate int) (result outcome, err error) {
	subject := nats.NewInbox()
	var conns []*nats.Conn
	defer func() {
		for _, nc := range conns {
			nc.Close()
		}
	}()
	subscribe := func(server int, queue string, to *counts) (*nats.Subscription, error) {
		nc, err := nats.Connect(c.servers[server].ClientURL(), nats.Timeout(time.Minute))
		if err != nil {
			return nil, err
		}
		conns = append(conns, nc)
		sub, err := nc.QueueSubscribe(subject, queue, to.take)
		if err == nil {
			err = nc.FlushTimeout(time.Minute)
		}
		return sub, err
	}
	members, plain := &counts{all: map[uint64]int{}}, [3]*counts{}
	for i := range plain {
		plain[i] = &counts{all: map[uint64]int{}}
		if _, err := subscribe(i, "", plain[i]); err != nil {
			return result, err
		}
	}
	if _, err := subscribe(1, "q", members); err != nil {
		return result, err
	}
	leaver, err := subscribe(2, "q", members)
	if err != nil {
		return result, err
	}
	// A later interest of the same servers is known: so are these.
	for server := 1; server < 3; server++ {
		if err := c.known(server); err != nil {
			return result, err
		}
	}
	publisher, err := nats.Connect(c.servers[0].ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		return result, err
	}
	conns = append(conns, publisher)

	join := 10 * delay
	leave := join + w.wait
	end := leave + 10*delay
	joined, left, sent := false, false, uint64(0)
	tick := time.NewTicker(500 * time.Microsecond)
	defer tick.Stop()
	for begin := time.Now(); time.Since(begin) < end || !left; <-tick.C {
		at := time.Since(begin)
		if at >= join && !joined {
			joined = true
			for range w.joins {
				if _, err := subscribe(1, "q", members); err != nil {
					return result, err
				}
			}
			leave = time.Since(begin) + w.wait
			end = leave + 10*delay
		}
		if at >= leave && joined && !left {
			left = true
			if err := w.leave(leaver); err != nil {
				return result, err
			}
		}
		for ; sent < uint64(at.Seconds()*float64(rate)); sent++ {
			if err := publisher.Publish(subject, binary.BigEndian.AppendUint64(nil, sent)); err != nil {
				return result, err
			}
		}
		if err := publisher.FlushTimeout(time.Minute); err != nil {
			return result, err
		}
	}
	for i, p := range plain {
		if err := until(fmt.Sprintf("all messages at server %d", i), func() bool { return p.total() >= int(sent) }); err != nil {
			return result, err
		}
	}
	if err := settled(int(sent), members, 8*delay+200*time.Millisecond, plain[:]); err != nil {
		return result, err
	}
	result.messages = int(sent)
	for n := range sent {
		for _, p := range plain {
			result.again += max(0, p.of(n)-1)
		}
		switch k := members.of(n); {
		case k == 0:
			result.nobody++
		case k > 1:
			result.twice += k - 1
		}
	}
	return result, nil
}

// known returns when the first server knows what was subscribed to at another one so far.
func (c *cluster) known(server int) error {
	nc, err := nats.Connect(c.servers[server].ClientURL(), nats.Timeout(time.Minute))
	if err != nil {
		return err
	}
	defer nc.Close()
	subject := nats.NewInbox()
	if _, err := nc.Subscribe(subject, func(*nats.Msg) {}); err != nil {
		return err
	}
	if err := nc.FlushTimeout(time.Minute); err != nil {
		return err
	}
	return until("interest", func() bool { return c.servers[0].GlobalAccount().Interest(subject) > 0 })
}

// settled returns when nobody has heard anything for a while: a longer one if members do not have everything yet.
func settled(sent int, members *counts, quiet time.Duration, plain []*counts) error {
	last, since := -1, time.Now()
	return until("silence", func() bool {
		sum := members.total()
		if sum < sent {
			quiet = max(quiet, 3*time.Second)
		}
		for _, c := range plain {
			sum += c.total()
		}
		if sum != last {
			last, since = sum, time.Now()
		}
		return time.Since(since) > quiet
	})
}
