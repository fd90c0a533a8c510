//go:build !js

package hub

import "github.com/nats-io/nats.go"

// apply puts a, which has been checked, into the options of one connection.
func (a Auth) apply(opts *nats.Options) error {
	id, err := a.identity()
	if err != nil {
		return err
	}
	opts.Token, opts.User, opts.Password, opts.Nkey = id.token, id.user, id.password, id.nkey()
	if id.jwt != "" {
		opts.UserJWT = func() (string, error) { return id.jwt, nil }
	}
	if id.key != nil {
		opts.SignatureCB = func(nonce []byte) ([]byte, error) { return id.sign(nonce), nil }
	}
	return nil
}
