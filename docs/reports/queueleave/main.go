// Command queueleave shows what nats-server does when a member of a queue group leaves a server of a
// cluster: messages that are on their way to it are sent on to another server that has a member, and
// that one gives them once more to its plain subscribers. It prints how often, for several ways to leave.
// ../nats-server-queue-leave.md says more. There is nothing in it but nats-server and nats.go.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	delay := flag.Duration("delay", 10*time.Millisecond, "how long each route takes, one way")
	rounds := flag.Int("rounds", 20, "how often a member leaves, in each way")
	rate := flag.Int("rate", 2000, "messages a second")
	flag.Parse()
	if err := report(os.Stdout, *delay, *rounds, *rate); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

// A cluster is three routed servers.
type cluster struct {
	servers []*server.Server
	proxies []net.Listener
}

func start(delay time.Duration) (c *cluster, err error) {
	c = &cluster{}
	defer func() {
		if err != nil {
			c.stop()
		}
	}()
	for i := range 3 {
		o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true, ServerName: fmt.Sprint("server", i)}
		o.Cluster.Name, o.Cluster.Host, o.Cluster.Port, o.Cluster.NoAdvertise = "c", "127.0.0.1", -1, true
		// Servers tell each other of servers. Routes to what they tell would go past the proxies: they go nowhere.
		o.Cluster.Advertise = "127.0.0.1:1"
		for _, other := range c.servers {
			address, err := c.delayed(other.ClusterAddr().String(), delay)
			if err != nil {
				return c, err
			}
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats-route", Host: address})
		}
		s, err := server.NewServer(o)
		if err != nil {
			return c, err
		}
		c.servers = append(c.servers, s)
		s.Start()
		if !s.ReadyForConnections(time.Minute) {
			return c, errors.New("nats-server did not start within a minute")
		}
	}
	return c, until("the routes", func() bool {
		for _, s := range c.servers {
			routes, err := s.Routez(nil)
			if err != nil {
				return false
			}
			peers := map[string]bool{}
			for _, r := range routes.Routes {
				peers[r.RemoteID] = true
			}
			if len(peers) < 2 {
				return false
			}
		}
		return true
	})
}

func (c *cluster) stop() {
	for _, s := range c.servers {
		s.Shutdown()
		s.WaitForShutdown()
	}
	for _, p := range c.proxies {
		_ = p.Close() // there is nothing left to do for it
	}
}

// delayed is the address of a proxy that delays both directions.
func (c *cluster) delayed(to string, delay time.Duration) (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	c.proxies = append(c.proxies, l)
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", to)
			if err != nil {
				_ = in.Close() // who connected hears of it so
				continue
			}
			go carry(out, in, delay)
			go carry(in, out, delay)
		}
	}()
	return l.Addr().String(), nil
}

// carry copies one direction. Each piece leaves delay after it came, and both end together.
func carry(to, from net.Conn, delay time.Duration) {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 4096)
	go func() {
		defer close(pieces)
		for {
			data := make([]byte, 16<<10)
			n, err := from.Read(data)
			if n > 0 {
				pieces <- piece{data[:n], time.Now().Add(delay)}
			}
			if err != nil {
				return
			}
		}
	}()
	var broken error
	for p := range pieces {
		if broken == nil {
			time.Sleep(time.Until(p.due))
			if _, broken = to.Write(p.data); broken != nil {
				_ = from.Close()
			}
		}
	}
	_ = to.Close()
	_, _ = io.Copy(io.Discard, from)
}

func until(what string, ok func() bool) error {
	for limit := time.Now().Add(time.Minute); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("waited a minute for %s", what)
		}
	}
	return nil
}

// report tries each way in turn and prints a line for it.
func report(w io.Writer, delay time.Duration, rounds, rate int) error {
	c, err := start(delay)
	if err != nil {
		return err
	}
	defer c.stop()
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "way to leave\tmessages\tmore than once at plain subscribers\tat no member\tat two members\t")
	for _, way := range ways(delay) {
		var sum outcome
		for range rounds {
			one, err := c.try(way, delay, rate)
			if err != nil {
				return fmt.Errorf("%s: %w", way.name, err)
			}
			sum = sum.plus(one)
		}
		fmt.Fprintf(t, "%s\t%d\t%d\t%d\t%d\t\n", way.name, sum.messages, sum.again, sum.nobody, sum.twice)
	}
	return t.Flush()
}

// sum of what became of messages. Plain subscribers are one on each server; each must hear all once.
type outcome struct{ messages, again, nobody, twice int }

func (o outcome) plus(other outcome) outcome {
	return outcome{o.messages + other.messages, o.again + other.again, o.nobody + other.nobody, o.twice + other.twice}
}
