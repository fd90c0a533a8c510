package main

import (
	"github.com/kinopio-hub/kinopio-hub/v3/conformance/lab"
	"github.com/kinopio-hub/kinopio-hub/v3/transport/transporttest"
)

// peerSets are what -peers can name: each starts its peers and returns the environment by which
// the test in the page finds them.
var peerSets = map[string]func() (env map[string]string, stop func(), err error){
	"none":         func() (map[string]string, func(), error) { return nil, func() {}, nil },
	"transport":    transportPeers,
	"webtransport": webTransportPeers,
	"conformance":  conformanceLab,
}

func transportPeers() (map[string]string, func(), error) {
	peers, _, stop, err := transporttest.ServeWS(false)
	if err != nil {
		return nil, nil, err
	}
	return map[string]string{transporttest.PeersVariable: peers.Encode()}, stop, nil
}

func webTransportPeers() (map[string]string, func(), error) {
	peers, hash, stop, err := transporttest.ServeWT()
	if err != nil {
		return nil, nil, err
	}
	return map[string]string{transporttest.WTPeersVariable: peers.Encode(), transporttest.WTHashVariable: hash}, stop, nil
}

// conformanceLab has no server until a scenario opens one.
func conformanceLab() (map[string]string, func(), error) {
	url, stop, err := lab.Serve()
	return map[string]string{"KINOPIO_CONFORMANCE_LAB": url}, stop, err
}
