package demo

import (
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// backbone is the remote side of the demo: an ordinary nats-server, here in this process.
type backbone struct {
	server       *server.Server
	clientURL    string // nats://
	websocketURL string // ws://
	leafnodeURL  string // nats-leaf://
}

// startBackbone starts it on free ports of loopback. Of web pages, only those of origins may
// open a WebSocket to it.
func startBackbone(origins []string) (*backbone, error) {
	const host = "127.0.0.1"
	s, err := server.NewServer(&server.Options{
		ServerName: "demo-backbone",
		Host:       host,
		Port:       server.RANDOM_PORT,
		Websocket:  server.WebsocketOpts{Host: host, Port: server.RANDOM_PORT, NoTLS: true, AllowedOrigins: origins},
		LeafNode:   server.LeafNodeOpts{Host: host, Port: server.RANDOM_PORT},
		NoLog:      true,
		NoSigs:     true,
	})
	if err != nil {
		return nil, fmt.Errorf("start the backbone: %w", err)
	}
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		s.Shutdown()
		return nil, fmt.Errorf("start the backbone: not ready after 5 s")
	}
	ports := s.PortsInfo(time.Second)
	var leafnodes int
	// The leafnode port is not among the PortsInfo.
	varz, err := s.Varz(nil)
	if err == nil {
		leafnodes = varz.LeafNode.Port
	}
	if ports == nil || len(ports.Nats) == 0 || len(ports.WebSocket) == 0 || leafnodes <= 0 {
		s.Shutdown()
		return nil, fmt.Errorf("start the backbone: it did not say its ports")
	}
	return &backbone{
		server:       s,
		clientURL:    ports.Nats[0],
		websocketURL: ports.WebSocket[0],
		leafnodeURL:  "nats-leaf://" + net.JoinHostPort(host, strconv.Itoa(leafnodes)),
	}, nil
}

func (b *backbone) stop() {
	b.server.Shutdown()
	b.server.WaitForShutdown()
}
