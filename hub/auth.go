package hub

import (
	"context"
	"fmt"
)

// Auth is how a hub shows a server who it is. Its zero value is the server URL's own user
// and password, if it has them. None of it is ever logged.
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
	if a.NkeySeed != "" {
		if _, err := userKey(a.NkeySeed); err != nil {
			return configError("Auth.NkeySeed", "(hidden)", "the seed of a user nkey, which begins with SU")
		}
	}
	if a.Creds != "" {
		if _, _, err := splitCreds(a.Creds); err != nil {
			return configError("Auth.Creds", "(hidden)", "the content of a credentials file, with a user JWT and its nkey seed")
		}
	}
	return nil
}
