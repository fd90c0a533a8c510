package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/coder/websocket"
)

// bidi is a connection of WebDriver BiDi (https://www.w3.org/TR/webdriver-bidi/).
type bidi struct {
	conn  *websocket.Conn
	event func(method string, params json.RawMessage) // called by the one goroutine that reads
	ended chan struct{}
	err   error // why it has ended

	mu      sync.Mutex
	last    int
	waiting map[int]chan<- answer
}

type answer struct {
	result json.RawMessage
	err    error
}

func dialBidi(ctx context.Context, url string, event func(string, json.RawMessage)) (*bidi, error) {
	conn, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", url, err)
	}
	conn.SetReadLimit(64 << 20)
	b := &bidi{conn: conn, event: event, ended: make(chan struct{}), waiting: map[int]chan<- answer{}}
	go b.read()
	return b, nil
}

func (b *bidi) read() {
	defer close(b.ended)
	for {
		_, data, err := b.conn.Read(context.Background()) // close ends it
		if err != nil {
			b.err = err
			return
		}
		var message struct {
			Type, Method, Error, Message string
			ID                           int
			Params, Result               json.RawMessage
		}
		if err := json.Unmarshal(data, &message); err != nil {
			b.err = fmt.Errorf("read %.200s: %w", data, err)
			return
		}
		if message.Type == "event" {
			b.event(message.Method, message.Params)
			continue
		}
		b.mu.Lock()
		waiter := b.waiting[message.ID]
		delete(b.waiting, message.ID)
		b.mu.Unlock()
		if waiter == nil {
			continue // whoever asked waits no longer
		}
		if message.Type == "error" {
			waiter <- answer{err: fmt.Errorf("%s: %s", message.Error, message.Message)}
		} else {
			waiter <- answer{result: message.Result}
		}
	}
}

// call sends a command, and decodes its result into result if that is not nil.
func (b *bidi) call(ctx context.Context, method string, params, result any) error {
	waiter := make(chan answer, 1)
	b.mu.Lock()
	b.last++
	id := b.last
	b.waiting[id] = waiter
	b.mu.Unlock()
	defer func() {
		b.mu.Lock()
		delete(b.waiting, id)
		b.mu.Unlock()
	}()
	data, err := json.Marshal(map[string]any{"id": id, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	// A write whose context ends ends the connection.
	if err := b.conn.Write(context.WithoutCancel(ctx), websocket.MessageText, data); err != nil {
		return fmt.Errorf("%s: %w", method, err)
	}
	select {
	case a := <-waiter:
		if a.err != nil {
			return fmt.Errorf("%s: %w", method, a.err)
		}
		if result == nil {
			return nil
		}
		if err := json.Unmarshal(a.result, result); err != nil {
			return fmt.Errorf("%s: read %.200s: %w", method, a.result, err)
		}
		return nil
	case <-b.ended:
		return fmt.Errorf("%s: the connection has ended: %w", method, b.err)
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", method, context.Cause(ctx))
	}
}

func (b *bidi) close() {
	_ = b.conn.CloseNow() // it is at its end anyway
	<-b.ended
}
