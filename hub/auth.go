package hub

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"sync"
	"time"
)

// Auth is how a hub shows a server who it is. Its zero value is the server URL's own user
// and password, if it has them; otherwise those do not count. None of it is ever logged.
type Auth struct {
	Token          string
	User, Password string
	// NkeySeed is the seed of a user nkey ("SU…").
	NkeySeed string
	// Creds is the content of a credentials file: a user JWT and its nkey seed.
	Creds string
}

// Authenticator gives the credentials for a connection that is about to be made. Of one server it is
// not called again before it has returned. Its ctx ends with the attempt to connect (Config.ReconnectTimeout).
type Authenticator func(ctx context.Context, server string) (Auth, error)

// authCalls are the calls of an Authenticator that have not returned. There is one a server at a time:
// one that takes longer than an attempt to connect is not called again beside itself, and its answer is good for the
// attempt that comes then.
type authCalls struct {
	mu    sync.Mutex
	calls map[string]*askCall // by server
}

type askCall struct {
	done chan struct{}
	auth Auth
	err  error
}

// ask calls cfg's Authenticator, and waits for it until ctx ends, whether or not it does so itself.
func (a *authCalls) ask(ctx context.Context, cfg *Config, server string) (Auth, error) {
	start := time.Now()
	a.mu.Lock()
	c := a.calls[server]
	if c == nil {
		c = &askCall{done: make(chan struct{})}
		if a.calls == nil {
			a.calls = map[string]*askCall{}
		}
		a.calls[server] = c
		go func() { // nobody can end it, so nobody waits for its end
			defer close(c.done)
			defer func() {
				if p := recover(); p != nil {
					c.err = fmt.Errorf("%w: authenticator: panic: %v", ErrCallback, p)
				}
				a.mu.Lock()
				delete(a.calls, server)
				a.mu.Unlock()
			}()
			c.auth, c.err = cfg.Authenticator(ctx, server)
			if c.err == nil {
				c.err = c.auth.check()
			}
		}()
	}
	a.mu.Unlock()
	tooSlow := func(err error) error {
		return fmt.Errorf("the authenticator has not answered for %v; ReconnectTimeout is %v: %w", time.Since(start).Round(time.Millisecond), cfg.ReconnectTimeout, err)
	}
	select {
	case <-c.done:
		if c.err != nil && ctx.Err() != nil {
			return Auth{}, tooSlow(c.err)
		}
		return c.auth, c.err
	case <-ctx.Done():
		return Auth{}, tooSlow(ctx.Err())
	}
}

// check refuses combinations that no server knows.
func (a Auth) check() error {
	ways := 0
	for _, used := range []bool{a.Token != "", a.User != "" || a.Password != "", a.NkeySeed != "", a.Creds != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways > 1:
		return configError("Auth", fmt.Sprint(ways, " ways"), "one of Token, User with Password, NkeySeed, Creds")
	case a.Password != "" && a.User == "":
		return configError("Auth.User", "", "a user for the password")
	}
	_, err := a.identity()
	return err
}

// identity is what a server is shown.
type identity struct {
	token, user, password string
	jwt                   string             // that names the key
	key                   ed25519.PrivateKey // nil: none
}

// identity reads the keys.
func (a Auth) identity() (identity, error) {
	id := identity{token: a.Token, user: a.User, password: a.Password}
	var err error
	switch {
	case a.NkeySeed != "":
		if id.key, err = userKey(a.NkeySeed); err != nil {
			return id, configError("Auth.NkeySeed", "(hidden)", "the seed of a user nkey, which begins with SU")
		}
	case a.Creds != "":
		if id.jwt, id.key, err = splitCreds(a.Creds); err != nil {
			return id, configError("Auth.Creds", "(hidden)", "the content of a credentials file, with a user JWT and its nkey seed")
		}
	}
	return id, nil
}

// nkey is how a server knows the key; "" if there is none, or the JWT has its name.
func (id identity) nkey() string {
	if id.key == nil || id.jwt != "" {
		return ""
	}
	return publicName(id.key)
}

// sign answers a server's nonce; with nothing if there is no key.
func (id identity) sign(nonce []byte) []byte {
	if id.key == nil {
		return nil
	}
	return ed25519.Sign(id.key, nonce)
}
