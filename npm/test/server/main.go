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

// settings are those of a server; ports are free ones where they are 0.
type settings struct {
	tcp, ws, cluster int
	route            int // the port of another of the same cluster
	maxPayload       int
	leafNodes        bool
	deny             string
}

func main() {
	var o settings
	flag.IntVar(&o.maxPayload, "max-payload", server.MAX_PAYLOAD_SIZE, "largest message in bytes")
	flag.BoolVar(&o.leafNodes, "leafnodes", false, "let leaves in, and print their URL as \"leaf\", too; it is another one after a restart")
	flag.StringVar(&o.deny, "deny", "", "a pattern of subjects on which nobody may publish or subscribe")
	twin := flag.Bool("twin", false, "start a second server, of one cluster with it, and print its WebSocket URL as \"twin\", too")
	flag.Parse()
	if *twin {
		o.cluster = server.RANDOM_PORT
	}
	s := must(start(o))
	info := s.PortsInfo(10 * time.Second)
	if info == nil {
		fail(fmt.Errorf("no listeners"))
	}
	o.tcp, o.ws = port(info.Nats[0]), port(info.WebSocket[0])
	urls := map[string]string{
		"tcp": fmt.Sprintf("nats://127.0.0.1:%d", o.tcp),
		"ws":  fmt.Sprintf("ws://127.0.0.1:%d", o.ws),
	}
	if o.leafNodes {
		urls["leaf"] = fmt.Sprintf("nats://127.0.0.1:%d", must(s.Varz(nil)).LeafNode.Port)
	}
	if *twin {
		o.cluster = port(info.Cluster[0])
		second := must(start(settings{cluster: server.RANDOM_PORT, route: o.cluster, maxPayload: o.maxPayload}))
		defer second.Shutdown()
		urls["twin"] = fmt.Sprintf("ws://127.0.0.1:%d", port(second.PortsInfo(10 * time.Second).WebSocket[0]))
	}
	print(urls)
	stop := func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var err error
		switch lines.Text() {
		case "restart":
			stop()
			s, err = start(o)
		case "stop":
			stop()
		case "start":
			s, err = start(o)
		case "kick":
			err = kick(s)
		case "clients":
			print(map[string]int{"clients": s.NumClients()})
			continue
		}
		if err != nil {
			fail(err)
		}
		fmt.Println("ok")
	}
	stop()
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "error:", err)
	os.Exit(1)
}

func must[T any](value T, err error) T {
	if err != nil {
		fail(err)
	}
	return value
}

func start(set settings) (*server.Server, error) {
	if set.tcp == 0 {
		set.tcp, set.ws = server.RANDOM_PORT, server.RANDOM_PORT
	}
	o := &server.Options{
		Host:       "127.0.0.1",
		Port:       set.tcp,
		NoLog:      true,
		NoSigs:     true,
		MaxPayload: int32(set.maxPayload),
		Websocket:  server.WebsocketOpts{Host: "127.0.0.1", Port: set.ws, NoTLS: true},
	}
	if set.leafNodes {
		o.LeafNode = server.LeafNodeOpts{Host: "127.0.0.1", Port: server.RANDOM_PORT}
	}
	if set.cluster != 0 {
		o.Cluster = server.ClusterOpts{Name: "twins", Host: "127.0.0.1", Port: set.cluster}
	}
	if set.route != 0 {
		o.Routes = server.RoutesFromStr(fmt.Sprintf("nats://127.0.0.1:%d", set.route))
	}
	if set.deny != "" {
		denied := &server.SubjectPermission{Deny: []string{set.deny}}
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{Publish: denied, Subscribe: denied}}}
		o.NoAuthUser = "u"
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
