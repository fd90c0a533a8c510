package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// rawMsg is a message as bytes and headers.
type rawMsg struct {
	Subject string            `json:"subject,omitempty"`
	Data    []byte            `json:"data"`
	Headers map[string]string `json:"headers,omitempty"`
}

// peer is a plain NATS client that knows nothing of KinopioHub.
type peer interface {
	publish(subject string, data []byte) error
	// subscribe returns when the server has the subscription; messages come to messages().
	subscribe(subject string) error
	// serve answers every request on subject with answer; requests come to messages().
	serve(subject string, answer rawMsg) error
	request(subject string, data []byte) (rawMsg, error)
	messages() <-chan rawMsg
}

// nativePeer is nats.go.
type nativePeer struct {
	conn *nats.Conn
	in   chan rawMsg
}

func newNativePeer(t *testing.T, url string) peer {
	t.Helper()
	conn, err := nats.Connect(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return &nativePeer{conn, make(chan rawMsg, 64)}
}

func rawOf(m *nats.Msg) rawMsg {
	raw := rawMsg{Subject: m.Subject, Data: m.Data, Headers: map[string]string{}}
	for name := range m.Header {
		raw.Headers[name] = m.Header.Get(name)
	}
	return raw
}

func (p *nativePeer) messages() <-chan rawMsg { return p.in }

func (p *nativePeer) publish(subject string, data []byte) error {
	return errors.Join(p.conn.Publish(subject, data), p.conn.Flush())
}

func (p *nativePeer) subscribe(subject string) error {
	_, err := p.conn.Subscribe(subject, func(m *nats.Msg) { p.in <- rawOf(m) })
	return errors.Join(err, p.conn.Flush())
}

func (p *nativePeer) serve(subject string, answer rawMsg) error {
	_, err := p.conn.Subscribe(subject, func(m *nats.Msg) {
		p.in <- rawOf(m)
		reply := nats.NewMsg(m.Reply)
		reply.Data = answer.Data
		for name, value := range answer.Headers {
			reply.Header.Set(name, value)
		}
		_ = m.RespondMsg(reply) // the page's request fails then, and the test with it
	})
	return errors.Join(err, p.conn.Flush())
}

func (p *nativePeer) request(subject string, data []byte) (rawMsg, error) {
	m, err := p.conn.Request(subject, data, 5*time.Second)
	if err != nil {
		return rawMsg{}, err
	}
	return rawOf(m), nil
}

// nodePeer is @nats-io/nats-core in a Node process.
type nodePeer struct {
	process *process
	in      chan rawMsg
	done    chan nodeLine
	last    int
}

type nodeLine struct {
	Event string `json:"event"`
	ID    int    `json:"id"`
	Error string `json:"error"`
	rawMsg
}

func newNodePeer(t *testing.T, url string) peer {
	t.Helper()
	return startNode(t, "peer.mjs", url)
}

// startNode runs one of the scripts in the folder node, and returns when it is connected.
func startNode(t *testing.T, script, url string) *nodePeer {
	t.Helper()
	node := tool(t, "node", "nodejs")
	p := &nodePeer{
		process: run(t, nil, node, filepath.Join("node", script), artefacts(t).npm, url),
		in:      make(chan rawMsg, 64),
		done:    make(chan nodeLine, 64),
	}
	t.Cleanup(func() { p.process.stdin.Close() })
	go func() {
		defer close(p.done)
		for text := range p.process.lines {
			var line nodeLine
			if err := json.Unmarshal([]byte(text), &line); err != nil {
				line = nodeLine{Event: "done", Error: "not JSON: " + text}
			}
			if line.Event == "message" {
				p.in <- line.rawMsg
				continue
			}
			p.done <- line
		}
	}()
	if _, err := p.answer(); err != nil { // "connected"
		t.Fatalf("start the Node client: %v", err)
	}
	return p
}

func (p *nodePeer) messages() <-chan rawMsg { return p.in }

// answer waits for the next line that is not a message.
func (p *nodePeer) answer() (rawMsg, error) {
	select {
	case line, ok := <-p.done:
		if !ok {
			return rawMsg{}, fmt.Errorf("node has ended: %s", p.process.complaints())
		}
		if line.Error != "" {
			return rawMsg{}, errors.New(line.Error)
		}
		return line.rawMsg, nil
	case <-time.After(patience):
		return rawMsg{}, fmt.Errorf("no answer within %v: %s", patience, p.process.complaints())
	}
}

func (p *nodePeer) do(action string, message rawMsg) (rawMsg, error) {
	p.last++
	command, err := json.Marshal(struct {
		Do string `json:"do"`
		ID int    `json:"id"`
		rawMsg
	}{action, p.last, message})
	if err != nil {
		return rawMsg{}, err
	}
	if _, err := p.process.stdin.Write(append(command, '\n')); err != nil {
		return rawMsg{}, err
	}
	return p.answer()
}

func (p *nodePeer) publish(subject string, data []byte) error {
	_, err := p.do("publish", rawMsg{Subject: subject, Data: data})
	return err
}

func (p *nodePeer) subscribe(subject string) error {
	_, err := p.do("subscribe", rawMsg{Subject: subject})
	return err
}

func (p *nodePeer) serve(subject string, answer rawMsg) error {
	answer.Subject = subject
	_, err := p.do("serve", answer)
	return err
}

func (p *nodePeer) request(subject string, data []byte) (rawMsg, error) {
	return p.do("request", rawMsg{Subject: subject, Data: data})
}
