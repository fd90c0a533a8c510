package leaf

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path"
	"time"

	"github.com/coder/websocket"
)

const (
	payloadPatience = 5 * time.Second
	maxInfoLine     = 1 << 20
)

// probePayload asks the backbone, beside the bridge, for its largest payload. The
// server knows it and does not tell; a message that is larger would cut the bridge.
func (l *Leaf) probePayload() {
	b := l.settings().backbone
	l.probes.Go(func() {
		ctx, cancel := context.WithTimeout(l.ctx, payloadPatience)
		defer cancel()
		least := 0
		for _, u := range b.urls {
			most, err := b.maxPayload(ctx, u)
			if err != nil {
				l.settings().Logger.Debug("cannot ask the backbone for its largest payload", "server", showURL(u), "error", err)
				continue
			}
			if least == 0 || most < least {
				least = most
			}
		}
		if least > 0 {
			select {
			case l.payload <- least:
			case <-l.ctx.Done():
			}
		}
	})
}

// lowerPayload keeps the leaf's largest payload at or below the backbone's.
func (l *Leaf) lowerPayload(most int) {
	l.life.Lock()
	defer l.life.Unlock()
	if l.ctx.Err() != nil || l.srv == nil || most >= l.set.MaxPayload {
		return
	}
	set := *l.set
	set.MaxPayload = most
	opts := l.srv.opts.Clone()
	opts.MaxPayload = int32(most)
	if err := l.srv.ReloadOptions(opts); err != nil {
		l.log.note(fmt.Errorf("lower the largest payload to the backbone's %d bytes: %w", most, err))
		return
	}
	set.Logger.Warn("the largest payload is lowered to the backbone's", "bytes", most)
	l.mu.Lock()
	l.set = &set
	l.mu.Unlock()
}

// maxPayload reads what a leafnode listener says first, as nats-server would.
func (b backbone) maxPayload(ctx context.Context, u *url.URL) (int, error) {
	var conn io.ReadCloser
	var err error
	if b.mode == modeWS || b.mode == modeWSS {
		conn, err = b.dialWS(ctx, u)
	} else {
		conn, err = b.dialTCP(ctx, u)
	}
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	line, err := bufio.NewReader(io.LimitReader(conn, maxInfoLine)).ReadBytes('\n')
	if err != nil {
		return 0, err
	}
	if b.mode != modeWS && b.mode != modeWSS {
		finish(ctx, conn, line, b.tls)
	}
	return parseInfo(line)
}

// finish ends a connection by which nothing but INFO was wanted so that a server which expects TLS then has nothing to
// complain of. Nothing is said there, so it does not matter to whom.
func finish(ctx context.Context, conn io.Closer, info []byte, conf *tls.Config) {
	plain, ok := conn.(net.Conn)
	if _, secure := conn.(*tls.Conn); !ok || secure || !wantsTLS(info) {
		return
	}
	c := &tls.Config{InsecureSkipVerify: true}
	if conf != nil {
		c.Certificates, c.GetClientCertificate = conf.Certificates, conf.GetClientCertificate
	}
	if s := tls.Client(plain, c); s.HandshakeContext(ctx) == nil {
		_ = s.Close() // The server knows now that it was meant.
	}
}

// wantsTLS tells whether the line INFO {…} asks for TLS.
func wantsTLS(line []byte) bool {
	text, _ := bytes.CutPrefix(bytes.TrimSpace(line), []byte("INFO "))
	var info struct {
		Required bool `json:"tls_required"`
	}
	return json.Unmarshal(text, &info) == nil && info.Required
}

// parseInfo reads max_payload from the line INFO {…}.
func parseInfo(line []byte) (int, error) {
	text, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("INFO "))
	if !ok {
		return 0, errors.New("does not begin with INFO")
	}
	var info struct {
		MaxPayload int `json:"max_payload"`
	}
	if err := json.Unmarshal(text, &info); err != nil {
		return 0, err
	}
	if info.MaxPayload <= 0 {
		return 0, errors.New("tells no max_payload")
	}
	return info.MaxPayload, nil
}

func (b backbone) dialTCP(ctx context.Context, u *url.URL) (net.Conn, error) {
	if !b.options.TLSFirst {
		return (&net.Dialer{}).DialContext(ctx, "tcp", u.Host)
	}
	return (&tls.Dialer{Config: b.tls.Clone()}).DialContext(ctx, "tcp", u.Host)
}

func (b backbone) dialWS(ctx context.Context, u *url.URL) (net.Conn, error) {
	at := url.URL{Scheme: u.Scheme, Host: u.Host, Path: path.Join("/", u.Path, "leafnode"), RawQuery: u.RawQuery}
	transport := &http.Transport{TLSClientConfig: b.tls.Clone(), DisableKeepAlives: true}
	ws, _, err := websocket.Dial(ctx, at.String(), &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	ws.SetReadLimit(maxInfoLine)
	return websocket.NetConn(ctx, ws, websocket.MessageBinary), nil
}
