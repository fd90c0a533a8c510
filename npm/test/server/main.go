// Command server is the peer of the npm package's tests: a nats-server with TCP and WebSocket
// listeners on free ports. It prints {"tcp":"nats://…","ws":"ws://…"} and then obeys lines on
// standard input, each answered by a line "ok":
//
//	restart  stop it, and start it again on the same ports
//	stop     stop it
//	start    start it again
//	kick     cut every connection
//	clients  print {"clients":n} instead
//
// At the end of standard input it ends.
package main

import (
	"bufio"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	maxPayload := flag.Int("max-payload", server.MAX_PAYLOAD_SIZE, "largest message in bytes")
	leafNodes := flag.Bool("leafnodes", false, "let leaves in, and print their URL as \"leaf\", too; it is another one after a restart")
	flag.Parse()
	s, err := start(0, 0, *maxPayload, *leafNodes)
	if err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
	info, err := s.PortsInfo(10*time.Second), error(nil)
	if info == nil {
		fmt.Fprintln(os.Stderr, "error: no listeners")
		os.Exit(1)
	}
	tcp, ws := port(info.Nats[0]), port(info.WebSocket[0])
	urls := map[string]string{
		"tcp": fmt.Sprintf("nats://127.0.0.1:%d", tcp),
		"ws":  fmt.Sprintf("ws://127.0.0.1:%d", ws),
	}
	if *leafNodes {
		about, err := s.Varz(nil)
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		urls["leaf"] = fmt.Sprintf("nats://127.0.0.1:%d", about.LeafNode.Port)
	}
	print(urls)
	stop := func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		switch lines.Text() {
		case "restart":
			stop()
			s, err = start(tcp, ws, *maxPayload, *leafNodes)
		case "stop":
			stop()
		case "start":
			s, err = start(tcp, ws, *maxPayload, *leafNodes)
		case "kick":
			err = kick(s)
		case "clients":
			print(map[string]int{"clients": s.NumClients()})
			continue
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		fmt.Println("ok")
	}
	stop()
}

func start(tcp, ws, maxPayload int, leafNodes bool) (*server.Server, error) {
	if tcp == 0 {
		tcp, ws = server.RANDOM_PORT, server.RANDOM_PORT
	}
	o := &server.Options{
		Host:       "127.0.0.1",
		Port:       tcp,
		NoLog:      true,
		NoSigs:     true,
		MaxPayload: int32(maxPayload),
		Websocket:  server.WebsocketOpts{Host: "127.0.0.1", Port: ws, NoTLS: true},
	}
	if leafNodes {
		o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}
	}
	s, err := server.NewServer(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		return nil, fmt.Errorf("the server does not start")
	}
	return s, nil
}

func kick(s *server.Server) error {
	conns, err := s.Connz(nil)
	if err != nil {
		return err
	}
	for _, c := range conns.Conns {
		if err := s.DisconnectClientByID(c.Cid); err != nil {
			return err
		}
	}
	return nil
}

func port(url string) int {
	var n int
	for i := len(url) - 1; i >= 0; i-- {
		if url[i] == ':' {
			_, _ = fmt.Sscanf(url[i+1:], "%d", &n)
			break
		}
	}
	return n
}

func print(v any) {
	_ = json.NewEncoder(os.Stdout).Encode(v)
}
