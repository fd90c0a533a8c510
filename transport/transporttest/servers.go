package transporttest

import (
	"maps"
	"net"
	"slices"
	"sync"
)

// ServeMem starts peers on a network in memory. stop ends them and returns when all have.
func ServeMem(network *Mem) (peers Peers, stop func(), err error) {
	s := newServers()
	peers = Peers{Refused: "mem://nobody", Hang: "mem://hang"}
	for _, b := range []Behaviour{Echo, Goodbye, Cut, Stall, Hang} {
		l, err := network.Listen(string(b))
		if err != nil {
			s.stop()
			return nil, nil, err
		}
		peers[b] = "mem://" + string(b)
		if b == Hang { // a dial ends when it is accepted
			s.closers = append(s.closers, l)
			continue
		}
		s.serve(l, b, func(c net.Conn) Peer { return c.(*MemConn) })
	}
	return peers, s.stop, nil
}

// servers runs listeners and plays their connections until they are stopped.
type servers struct {
	done    chan struct{}
	running sync.WaitGroup
	hanging *counter

	mu      sync.Mutex
	closers []interface{ Close() error }
	open    map[Peer]bool
	stopped bool
}

func newServers() *servers {
	return &servers{done: make(chan struct{}), hanging: newCounter(), open: map[Peer]bool{}}
}

func (s *servers) serve(l net.Listener, b Behaviour, wrap func(net.Conn) Peer) {
	s.closers = append(s.closers, l)
	s.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.running.Go(func() { s.play(b, wrap(c)) })
		}
	})
}

func (s *servers) play(b Behaviour, peer Peer) {
	s.mu.Lock()
	if s.stopped {
		s.mu.Unlock()
		peer.Cut()
		return
	}
	s.open[peer] = true
	s.mu.Unlock()
	behave(b, peer, s.done, s.hanging)
	s.mu.Lock()
	delete(s.open, peer)
	s.mu.Unlock()
}

func (s *servers) stop() {
	s.mu.Lock()
	if !s.stopped {
		s.stopped = true
		close(s.done)
	}
	closers, open := s.closers, slices.Collect(maps.Keys(s.open))
	s.mu.Unlock() // some wait for connections, which note their ends
	for _, peer := range open {
		peer.Cut()
	}
	for _, c := range closers {
		_ = c.Close()
	}
	s.running.Wait()
}
