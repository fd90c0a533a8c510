package lab

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"

	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// clientName is how the lab's own client is told from those that are tested.
const clientName = "conformance lab"

// A server is a nats-server that keeps its ports when it is stopped and started.
type server struct {
	settings Settings
	scheme   string
	tls      *tls.Config // of the WebSocket listener; nil is none
	turn     sync.Mutex  // held while running is used or changed: who gave up waiting may ask for the next thing
	running  *natsserver.Server
	tcp, ws  int
	conn     *nats.Conn // the plain client
	proxy    *proxy     // before the port of the scheme; nil is none
}

// open starts the server and its plain client.
func (s *server) open() error {
	s.tcp, s.ws = natsserver.RANDOM_PORT, natsserver.RANDOM_PORT
	if err := s.start(); err != nil {
		return err
	}
	if s.settings.Silenceable {
		var err error
		if s.proxy, err = newProxy(s.host(s.port())); err != nil {
			s.stop()
			return err
		}
	}
	options := []nats.Option{
		nats.Name(clientName), nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.ReconnectJitter(0, 0),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}), // servers are stopped on purpose
	}
	var err error
	s.conn, err = nats.Connect("nats://"+s.host(s.tcp), append(options, s.credentials()...)...)
	if err != nil {
		s.stop()
	}
	return err
}

// credentials are those of the settings; a server with an nkey has no plain client's.
func (s *server) credentials() []nats.Option {
	switch {
	case s.settings.Token != "":
		return []nats.Option{nats.Token(s.settings.Token)}
	case s.isLimited():
		return []nats.Option{nats.UserInfo(clientName, clientName)}
	case s.settings.User != "":
		return []nats.Option{nats.UserInfo(s.settings.User, s.settings.Password)}
	case s.settings.Nkey != "":
		return []nats.Option{nats.UserInfo(clientName, clientName)}
	}
	return nil
}

// isLimited says that the user may not everything.
func (s *server) isLimited() bool { return s.settings.Publish != nil || s.settings.Subscribe != nil }

// only permits these subjects.
func only(subjects []string) *natsserver.SubjectPermission {
	if len(subjects) == 0 {
		return &natsserver.SubjectPermission{Deny: []string{">"}}
	}
	return &natsserver.SubjectPermission{Allow: subjects}
}

func (s *server) start() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.running != nil {
		return errors.New("the server runs already")
	}
	o := &natsserver.Options{
		Host: "127.0.0.1", Port: s.tcp,
		Websocket:     natsserver.WebsocketOpts{Host: "127.0.0.1", Port: s.ws, NoTLS: s.tls == nil, TLSConfig: s.tls},
		MaxPayload:    s.settings.MaxPayload,
		Authorization: s.settings.Token,
		Username:      s.settings.User,
		Password:      s.settings.Password,
		NoLog:         true, NoSigs: true,
	}
	if s.isLimited() {
		o.Username, o.Password = "", ""
		o.Users = []*natsserver.User{
			{Username: s.settings.User, Password: s.settings.Password, Permissions: &natsserver.Permissions{
				Publish: only(s.settings.Publish), Subscribe: only(s.settings.Subscribe),
			}},
			{Username: clientName, Password: clientName},
		}
	}
	if s.settings.Nkey != "" {
		o.Nkeys = []*natsserver.NkeyUser{{Nkey: s.settings.Nkey}}
		o.Users = []*natsserver.User{{Username: clientName, Password: clientName}}
	}
	running, err := natsserver.NewServer(o)
	if err != nil {
		return fmt.Errorf("start a nats-server: %w", err)
	}
	running.Start()
	if !running.ReadyForConnections(10 * time.Second) {
		running.Shutdown()
		return errors.New("the nats-server does not start")
	}
	ports := running.PortsInfo(10 * time.Second)
	if ports == nil || len(ports.Nats) == 0 || len(ports.WebSocket) == 0 {
		running.Shutdown()
		return errors.New("the nats-server has no listeners")
	}
	s.tcp, s.ws, s.running = portOf(ports.Nats[0]), portOf(ports.WebSocket[0]), running
	return nil
}

func (s *server) stop() {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.running == nil {
		return
	}
	s.running.Shutdown()
	s.running.WaitForShutdown()
	s.running = nil
}

func (s *server) close() {
	s.conn.Close()
	s.stop()
	if s.proxy != nil {
		s.proxy.close()
	}
}

func (s *server) url() string {
	scheme := s.scheme
	if scheme == "" {
		scheme = "nats"
	}
	if s.proxy != nil {
		return scheme + "://" + s.proxy.host()
	}
	return scheme + "://" + s.host(s.port())
}

// port is that of the scheme.
func (s *server) port() int {
	if s.scheme == "ws" || s.scheme == "wss" {
		return s.ws
	}
	return s.tcp
}

func (s *server) host(port int) string { return "127.0.0.1:" + strconv.Itoa(port) }

// kick cuts every connection but the lab's own.
func (s *server) kick() error {
	return s.each(func(c *natsserver.ConnInfo) error { return s.running.DisconnectClientByID(c.Cid) })
}

// clients are the names of all connections but the lab's own.
func (s *server) clients() (names []string, err error) {
	names = []string{}
	err = s.each(func(c *natsserver.ConnInfo) error { names = append(names, c.Name); return nil })
	slices.Sort(names)
	return names, err
}

func (s *server) each(do func(*natsserver.ConnInfo) error) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if s.running == nil {
		return errors.New("the server is stopped")
	}
	all, err := s.running.Connz(nil)
	if err != nil {
		return err
	}
	for _, c := range all.Conns {
		if c.Name == clientName {
			continue
		}
		if err := do(c); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) subscribe(subject, queue string, to chan<- Message) error {
	deliver := func(m *nats.Msg) { to <- messageOf(m) }
	_, err := s.conn.QueueSubscribe(subject, queue, deliver)
	return errors.Join(err, s.conn.Flush())
}

func (s *server) serve(subject string, answers []Message) error {
	_, err := s.conn.Subscribe(subject, func(m *nats.Msg) {
		for _, answer := range answers {
			out := msg(answer)
			out.Subject = m.Reply
			_ = s.conn.PublishMsg(out) // a scenario that wants an answer fails without it
		}
	})
	return errors.Join(err, s.conn.Flush())
}

func msg(m Message) *nats.Msg {
	out := &nats.Msg{Subject: m.Subject, Reply: m.Reply, Data: m.Data, Header: nats.Header{}}
	for name, values := range m.Headers {
		out.Header[name] = values
	}
	return out
}

func messageOf(m *nats.Msg) Message {
	return Message{Subject: m.Subject, Reply: m.Reply, Headers: m.Header, Data: m.Data}
}

func portOf(listener string) int {
	u, err := url.Parse(listener)
	if err != nil {
		return 0
	}
	port, _ := strconv.Atoi(u.Port())
	return port
}
