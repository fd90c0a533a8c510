package hub

import (
	"context"
	"crypto/ed25519"
	"fmt"
)

// Auth is how a hub shows a server who it is. A server whose URL has a user, with a password or as a token, is
// shown that instead. None of it is ever logged.
type Auth struct {
	Token          string
	User, Password string
	// NkeySeed is the seed of a user nkey ("SU…").
	NkeySeed string
	// Creds is the content of a credentials file: a user JWT and its nkey seed.
	Creds string
}

// Authenticator gives the credentials for a connection that is about to be made.
type Authenticator func(ctx context.Context, server string) (Auth, error)

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
