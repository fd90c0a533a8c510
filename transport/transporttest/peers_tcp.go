//go:build !js

package transporttest

import "net"

// ServeTCP starts peers on TCP ports of this machine, with tcp:// URLs. stop ends them and
// returns when all have.
func ServeTCP() (peers Peers, stop func(), err error) {
	s := newServers()
	peers = Peers{}
	for _, b := range []Behaviour{Echo, Goodbye, Cut, Stall} {
		l, err := listenTCP()
		if err != nil {
			s.stop()
			return nil, nil, err
		}
		peers[b] = "tcp://" + l.Addr().String()
		s.serve(l, b, func(c net.Conn) Peer { return tcpPeer{c.(*net.TCPConn)} })
	}
	refused, err := refusedAddr()
	if err != nil {
		s.stop()
		return nil, nil, err
	}
	peers[Refused] = "tcp://" + refused
	return peers, s.stop, nil
}

func listenTCP() (net.Listener, error) { return net.Listen("tcp", "127.0.0.1:0") }

// refusedAddr returns an address where something listened a moment ago.
func refusedAddr() (string, error) {
	l, err := listenTCP()
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

type tcpPeer struct{ *net.TCPConn }

// Cut resets the connection: a plain close of TCP is a proper one.
func (p tcpPeer) Cut() {
	_ = p.SetLinger(0)
	_ = p.TCPConn.Close()
}
