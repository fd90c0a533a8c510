package lab

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// PeerGroup is where heartbeats go.
var PeerGroup = netip.MustParseAddrPort("239.255.42.99:45217")

// A Peer sends and hears heartbeats as kinopio-hub 2.1.0 does: with one socket that joins on one
// interface. It plays the part that it is told and decides nothing itself: a test says when it
// leads.
type Peer struct {
	namespace string
	conn      *net.UDPConn // receives
	out       *net.UDPConn // sends
	cancel    context.CancelFunc
	running   sync.WaitGroup
	heard     chan Heartbeat
	missed    atomic.Int64

	mu  sync.Mutex
	say *Heartbeat // nil: silent
	err error      // of sending, the first
}

// NewPeer joins the group on an interface, or on the one that the system prefers for "".
func NewPeer(namespace, netif string) (*Peer, error) {
	var on *net.Interface
	var from *net.UDPAddr
	if netif != "" {
		var err error
		if on, err = net.InterfaceByName(netif); err != nil {
			return nil, fmt.Errorf("open peer on %s: %w", netif, err)
		}
		if from, err = addressOf(on); err != nil {
			return nil, fmt.Errorf("open peer on %s: %w", netif, err)
		}
	}
	conn, err := net.ListenMulticastUDP("udp4", on, net.UDPAddrFromAddrPort(PeerGroup))
	if err != nil {
		return nil, fmt.Errorf("open peer: %w", err)
	}
	out, err := net.DialUDP("udp4", from, net.UDPAddrFromAddrPort(PeerGroup))
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open peer: %w", err), conn.Close())
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Peer{namespace: namespace, conn: conn, out: out, cancel: cancel, heard: make(chan Heartbeat, 256)}
	p.running.Go(p.listen)
	p.running.Go(func() { p.beat(ctx) })
	return p, nil
}

func addressOf(netif *net.Interface) (*net.UDPAddr, error) {
	all, err := netif.Addrs()
	if err != nil {
		return nil, err
	}
	for _, a := range all {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			return &net.UDPAddr{IP: prefix.Addr().AsSlice()}, nil
		}
	}
	return nil, errors.New("no IPv4 address")
}

// Heard are the heartbeats of the namespace, not the own ones. Closed by Close.
func (p *Peer) Heard() <-chan Heartbeat { return p.heard }

// Missed counts packets that were heard and are no heartbeats of the namespace.
func (p *Peer) Missed() int64 { return p.missed.Load() }

// Say sends a heartbeat at once and then every second, with the times of each. Kind and versions
// are filled in.
func (p *Peer) Say(h Heartbeat) error {
	h.DiscoveryNamespace = p.namespace
	p.mu.Lock()
	p.say = &h
	p.mu.Unlock()
	return p.send()
}

// Silence sends nothing more, as a dead node.
func (p *Peer) Silence() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.say = nil
}

// Close ends everything. The error is also the first that sending came to.
func (p *Peer) Close() error {
	p.cancel()
	err := errors.Join(p.conn.Close(), p.out.Close())
	p.running.Wait()
	return errors.Join(err, p.err)
}

func (p *Peer) send() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.say == nil {
		return nil
	}
	packet, err := p.say.encode(time.Now())
	if err == nil {
		_, err = p.out.Write(packet)
	}
	return err
}

func (p *Peer) beat(ctx context.Context) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			// Without a network this fails, and works again with it.
			if err := p.send(); err != nil && !errors.Is(err, net.ErrClosed) && p.err == nil {
				p.err = err
			}
		}
	}
}

func (p *Peer) listen() {
	defer close(p.heard)
	buffer := make([]byte, 65536)
	for {
		n, _, err := p.conn.ReadFromUDPAddrPort(buffer)
		if err != nil {
			return // closed, which is the only error of this socket that lasts
		}
		h, err := decode(buffer[:n], p.namespace)
		p.mu.Lock()
		own := p.say != nil && p.say.NodeID == h.NodeID
		p.mu.Unlock()
		switch {
		case err != nil:
			p.missed.Add(1)
		case !own:
			select {
			case p.heard <- h:
			default:
				p.missed.Add(1)
			}
		}
	}
}

// PeerRole is a Peer as a Role for Host.Play. Its arguments are -namespace, -node and -interface.
// It prints "ready", then a line for each heartbeat, such as
//
//	heard node=n1 role=leader leader=true epoch=3 wss=wss://10.77.0.1:8443 rtt=12
//
// and takes the lines "lead EPOCH URL [RTT]", "follow EPOCH", "candidate EPOCH" and "silence".
func PeerRole(ctx context.Context, args []string, in <-chan string, out io.Writer) (err error) {
	flags := flag.NewFlagSet("peer", flag.ContinueOnError)
	namespace := flags.String("namespace", "studio", "discovery namespace")
	node := flags.String("node", "peer-2.1.0", "node id")
	netif := flags.String("interface", "eth0", "interface to join and send on")
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := NewPeer(*namespace, *netif)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Close()) }()
	fmt.Fprintln(out, "ready")
	for {
		select {
		case <-ctx.Done():
			return nil
		case h := <-p.Heard():
			rtt := "null"
			if h.BackboneRTTms != nil {
				rtt = strconv.Itoa(*h.BackboneRTTms)
			}
			fmt.Fprintf(out, "heard node=%s role=%s leader=%v epoch=%d wss=%s rtt=%s\n", h.NodeID, h.CandidateRole, h.IsLeader, h.LeaderEpoch, h.WSSURL, rtt)
		case line, ok := <-in:
			if !ok {
				return nil
			}
			h, err := scripted(line, *node)
			if err != nil {
				return err
			}
			if h == nil {
				p.Silence()
			} else if err := p.Say(*h); err != nil {
				fmt.Fprintln(out, "error:", err)
			}
		}
	}
}

// scripted returns the heartbeat that a line of PeerRole asks for, nil for none.
func scripted(line, node string) (*Heartbeat, error) {
	f := strings.Fields(line)
	h := &Heartbeat{NodeID: node, AdvertisedHostname: node + ".local", BridgeState: "disconnected"}
	number := func(i int) (int64, error) {
		if len(f) <= i {
			return 0, fmt.Errorf("the line %q lacks a number", line)
		}
		return strconv.ParseInt(f[i], 10, 64)
	}
	var err error
	switch {
	case line == "silence":
		return nil, nil
	case len(f) > 2 && f[0] == "lead":
		h.IsLeader, h.CandidateRole = true, "leader"
		h.WebSocketURL, h.WSSURL = f[2], f[2]
		_, rest, _ := strings.Cut(f[2], "://")
		h.DiscoveryURL = "https://" + rest + "/.well-known/kinopio-leader.json"
		if len(f) > 3 {
			rtt, err := strconv.Atoi(f[3])
			if err != nil {
				return nil, err
			}
			h.BackboneRTTms = &rtt
		}
	case len(f) > 1 && f[0] == "follow":
		h.CandidateRole = "follower"
	case len(f) > 1 && f[0] == "candidate":
		h.CandidateRole = "candidate"
	default:
		return nil, fmt.Errorf("the line is %q, want lead EPOCH URL [RTT], follow EPOCH, candidate EPOCH or silence", line)
	}
	h.LeaderEpoch, err = number(1)
	return h, err
}
