//go:build !js

package hub

import (
	"crypto/ed25519"

	"github.com/nats-io/nats.go"
)

// apply puts a, which has been checked, into the options of one connection.
func (a Auth) apply(opts *nats.Options) error {
	switch {
	case a.Token != "":
		opts.Token = a.Token
	case a.User != "":
		opts.User, opts.Password = a.User, a.Password
	case a.NkeySeed != "":
		key, err := userKey(a.NkeySeed)
		if err != nil {
			return err
		}
		opts.Nkey = publicName(key)
		opts.SignatureCB = func(nonce []byte) ([]byte, error) { return ed25519.Sign(key, nonce), nil }
	case a.Creds != "":
		return nats.UserCredentialBytes([]byte(a.Creds))(opts)
	}
	return nil
}
