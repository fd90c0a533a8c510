package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// The nats-server of the benchmark is a process of its own, so that neither its garbage nor
// its goroutines are those of a side. In it are the peers of the work, too: who publishes
// what is received, and who answers requests. With backboneArgument there are none, and leaves may connect to it.
const (
	serverArgument   = "serve-for-bench"
	backboneArgument = "backbone-for-bench"
)

// feed asks for messages; it is a request on feedSubject. They come as fast as they can be
// sent, on Subject, or on Subject + "." + a number below Spread in turn.
type feed struct {
	Subject string `json:"subject"`
	Count   int    `json:"count"`
	Size    int    `json:"size"` // 0: the small JSON object
	Spread  int    `json:"spread"`
}

const (
	feedSubject = "bench.feed"
	echoSubject = "bench.echo" // answers with the payload
	askSubject  = "bench.ask"  // makes requests as an ask says, and answers when all were answered
)

// ask is a request on askSubject.
type ask struct {
	Subject string `json:"subject"`
	Count   int    `json:"count"`
}

// small is the payload that most works send: 55 bytes of JSON.
const small = `{"id":123456,"x":1.25,"y":-3.5,"name":"kinopio","ok":1}`

// server is the process.
type server struct {
	NATS, WS, Leaf string // the last one for leaves
	cmd            *exec.Cmd
	in             io.Closer
}

// startServer runs this program as the server, as its only argument says.
func startServer(ctx context.Context, argument string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	s := &server{cmd: exec.CommandContext(ctx, self, argument)}
	s.cmd.Stderr = os.Stderr
	if s.in, err = s.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s)
	}
	if err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return s, nil
}

// stop ends the process: it serves until its input ends.
func (s *server) stop() error {
	s.in.Close()
	return s.cmd.Wait()
}

// serve is the process: it prints where it listens as one line of JSON.
func serve(in io.Reader, out io.Writer, argument string) error {
	options := &natsserver.Options{
		Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoSigs: true, NoLog: true, MaxPayload: 8 << 20,
		Websocket: natsserver.WebsocketOpts{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, NoTLS: true},
	}
	if argument == backboneArgument {
		options.LeafNode.Host, options.LeafNode.Port = "127.0.0.1", natsserver.RANDOM_PORT
	}
	ns, err := natsserver.NewServer(options)
	if err != nil {
		return err
	}
	ns.Start()
	defer ns.WaitForShutdown()
	defer ns.Shutdown()
	if !ns.ReadyForConnections(10 * time.Second) {
		return errors.New("nats-server is not ready after 10 s")
	}
	failed := make(chan error, 1)
	if argument == serverArgument {
		// Over a pipe, so that what feeds costs no socket of the kernel's.
		stop, err := servePeers(ns.ClientURL(), failed, nats.InProcessServer(ns))
		if err != nil {
			return err
		}
		defer stop()
	}
	said, err := addresses(ns)
	if err != nil {
		return err
	}
	line, err := json.Marshal(said)
	if err != nil {
		return err
	}
	if _, err := out.Write(append(line, '\n')); err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, in)
		ended <- err
	}()
	select {
	case err := <-failed:
		return err
	case err := <-ended:
		return err
	}
}

// addresses are where a server listens.
func addresses(ns *natsserver.Server) (map[string]string, error) {
	addr, ok := ns.Addr().(*net.TCPAddr)
	if !ok {
		return nil, fmt.Errorf("no address: %v", ns.Addr())
	}
	v, err := ns.Varz(nil)
	if err != nil {
		return nil, err
	}
	return map[string]string{
		"NATS": "nats://127.0.0.1:" + strconv.Itoa(addr.Port), "WS": ns.WebsocketURL(),
		"Leaf": "nats-leaf://127.0.0.1:" + strconv.Itoa(v.LeafNode.Port),
	}, nil
}

// servePeers starts the peers of the works at a server; feeds are how who publishes connects. What fails later goes to failed.
func servePeers(url string, failed chan<- error, feeds ...nats.Option) (stop func(), err error) {
	nc, err := nats.Connect(url, feeds...)
	if err != nil {
		return nil, err
	}
	// Over TCP: a pipe would hand over one answer at a time.
	echoes, err := nats.Connect(url)
	if err != nil {
		nc.Close()
		return nil, err
	}
	stop = func() { nc.Close(); echoes.Close() }
	_, feedErr := nc.Subscribe(feedSubject, func(m *nats.Msg) {
		var f feed
		err := json.Unmarshal(m.Data, &f)
		if err == nil {
			err = f.send(nc)
		}
		if err == nil {
			err = m.Respond(nil)
		}
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	})
	_, echoErr := echoes.Subscribe(echoSubject, func(m *nats.Msg) { _ = m.Respond(m.Data) })
	_, askErr := nc.Subscribe(askSubject, func(m *nats.Msg) {
		var a ask
		err := json.Unmarshal(m.Data, &a)
		if err == nil {
			_, err = requests64(context.Background(), natsSide{nc: echoes}, a.Subject, a.Count)
		}
		if err == nil {
			err = m.Respond(nil)
		}
		if err != nil {
			select {
			case failed <- err:
			default:
			}
		}
	})
	if err := errors.Join(feedErr, echoErr, askErr, nc.Flush(), echoes.Flush()); err != nil {
		stop()
		return nil, err
	}
	return stop, nil
}

func (f feed) send(nc *nats.Conn) error {
	payload := []byte(small)
	if f.Size > 0 {
		payload = make([]byte, f.Size)
		for i := range payload {
			payload[i] = 0x80 + byte(i%26) // no UTF-8, as what is large mostly is
		}
	}
	subjects := []string{f.Subject}
	if f.Spread > 0 {
		subjects = subjects[:0]
		for i := range f.Spread {
			subjects = append(subjects, f.Subject+"."+strconv.Itoa(i))
		}
	}
	for i := range f.Count {
		if err := nc.Publish(subjects[i%len(subjects)], payload); err != nil {
			return err
		}
	}
	return nc.FlushTimeout(time.Minute)
}
