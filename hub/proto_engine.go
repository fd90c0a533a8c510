package hub

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/kinopio-hub/kinopio-hub/transport"
)

// protoEngine speaks the NATS protocol itself. It is what pages have: without nats.go they
// download 40 % less.
type protoEngine struct {
	cfg     *Config
	dialers map[string]transport.Dialer
	bursts  bursts
}

func newProtoEngine(cfg *Config) *protoEngine {
	return &protoEngine{cfg: cfg, dialers: dialersOf(cfg)}
}

// protoServer is what a server says of itself in INFO.
type protoServer struct {
	MaxPayload int64  `json:"max_payload"`
	Headers    bool   `json:"headers"`
	Nonce      string `json:"nonce"`
	LameDuck   bool   `json:"ldm"`
}

// protoClient is CONNECT.
type protoClient struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	JWT          string `json:"jwt,omitempty"`
	Nkey         string `json:"nkey,omitempty"`
	Signature    string `json:"sig,omitempty"`
	User         string `json:"user,omitempty"`
	Password     string `json:"pass,omitempty"`
	Token        string `json:"auth_token,omitempty"`
	TLS          bool   `json:"tls_required"`
	Name         string `json:"name"`
	Lang         string `json:"lang"`
	Version      string `json:"version"`
	Protocol     int    `json:"protocol"`
	Echo         bool   `json:"echo"`
	Headers      bool   `json:"headers"`
	NoResponders bool   `json:"no_responders"`
}

func (e *protoEngine) dial(ctx context.Context, server string, r receiver) (wire, error) {
	w, err := e.open(ctx, server, r)
	if err == nil {
		return w, nil
	}
	if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
		err = fmt.Errorf("%w (%w)", err, context.Cause(ctx))
	}
	return nil, fmt.Errorf("%w to %s: %w", ErrConnect, transport.Redact(server), err)
}

func (e *protoEngine) open(ctx context.Context, server string, r receiver) (wire, error) {
	ctx, cancel := context.WithTimeout(ctx, e.cfg.ReconnectTimeout)
	defer cancel()
	u, err := url.Parse(server)
	if err != nil {
		return nil, transport.ErrURL
	}
	dialer := e.dialers[u.Scheme]
	if dialer == nil {
		return nil, fmt.Errorf("%w: nothing here dials the scheme %q", transport.ErrURL, u.Scheme)
	}
	auth := e.cfg.Auth
	if e.cfg.Authenticator != nil {
		if auth, err = e.cfg.Authenticator(ctx, transport.Redact(server)); err == nil {
			err = auth.check()
		}
		if err != nil {
			return nil, fmt.Errorf("credentials: %w", err)
		}
	}
	conn, err := dialer.Dial(ctx, server)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	w := newProtoWire(conn, r, &e.bursts)
	err = w.greet(e.cfg, auth, u.User)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil && !errors.Is(err, ctx.Err()) {
			err = fmt.Errorf("%w (%w)", err, ctx.Err())
		}
		return nil, err
	}
	w.start()
	return w, nil
}

// greet is the talk before anything else: INFO, then CONNECT and PING, then PONG.
func (w *protoWire) greet(cfg *Config, auth Auth, inURL *url.Userinfo) error {
	var op protoOp
	if err := w.next(&op); err != nil {
		return err
	}
	if op.kind == protoErr {
		return fmt.Errorf("nats: %s", op.text)
	}
	if op.kind != protoInfo {
		return fmt.Errorf("%w: want INFO first", errProto)
	}
	info, err := w.info(&op)
	if err != nil {
		return err
	}
	if !info.Headers {
		return fmt.Errorf("%w: the server knows no headers: want nats-server 2.2 or later, with headers", errProto)
	}
	me := protoClient{
		Name: cfg.Name, Lang: "kinopio-hub", Version: "3", Protocol: 1,
		Echo: !cfg.NoEcho, Headers: true, NoResponders: true,
	}
	if err := auth.introduce(&me, inURL, info.Nonce); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	text, err := json.Marshal(me)
	if err != nil {
		return err
	}
	said := time.Now()
	if _, err := w.conn.Write([]byte("CONNECT " + string(text) + "\r\nPING\r\n")); err != nil {
		return err
	}
	for {
		if err := w.next(&op); err != nil {
			return err
		}
		if w.measured == 0 {
			w.measured = max(1, time.Since(said))
		}
		switch op.kind {
		case protoPong:
			return nil
		case protoErr:
			return fmt.Errorf("nats: %s", op.text)
		case protoInfo: // servers say it again when they know more of their cluster
			if err := w.heed(&op); err != nil {
				return err
			}
		case protoPing:
			if _, err := w.conn.Write([]byte("PONG\r\n")); err != nil {
				return err
			}
		}
	}
}

// introduce fills in who the client is: the URL's user goes before all else, as in nats.go.
func (a Auth) introduce(me *protoClient, inURL *url.Userinfo, nonce string) error {
	var signature []byte
	switch {
	case inURL != nil:
		var hasPassword bool
		if me.Password, hasPassword = inURL.Password(); hasPassword {
			me.User = inURL.Username()
		} else {
			me.Token = inURL.Username()
		}
	case a.Token != "":
		me.Token = a.Token
	case a.User != "":
		me.User, me.Password = a.User, a.Password
	case a.NkeySeed != "":
		key, err := userKey(a.NkeySeed)
		if err != nil {
			return err
		}
		me.Nkey, signature = publicName(key), ed25519.Sign(key, []byte(nonce))
	case a.Creds != "":
		jwt, key, err := splitCreds(a.Creds)
		if err != nil {
			return err
		}
		me.JWT, signature = jwt, ed25519.Sign(key, []byte(nonce))
	}
	me.Signature = base64.RawURLEncoding.EncodeToString(signature)
	return nil
}
