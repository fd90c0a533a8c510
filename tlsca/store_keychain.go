package tlsca

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
)

// keychain is the user's login keychain of macOS, or the system's when an
// administrator runs this. Safari, Chrome and, since version 120, Firefox follow it.
type keychain struct {
	m    Machine
	path string
	args []string // Which domain of trust settings.
}

func newKeychain(m Machine) *keychain {
	if *m.admin {
		return &keychain{m, "/Library/Keychains/System.keychain", []string{"-d"}}
	}
	return &keychain{m, filepath.Join(m.Home, "Library", "Keychains", "login.keychain-db"), nil}
}

func (k *keychain) Info() StoreInfo {
	return StoreInfo{Kind: "keychain", Name: "keychain (" + k.path + ")", Browsers: true, Asks: !*k.m.admin}
}

func (k *keychain) security(ctx context.Context, args ...string) ([]byte, error) {
	path, err := k.m.Runner.Find("security")
	if err != nil {
		return nil, err
	}
	return k.m.Runner.Run(ctx, Command{Path: path, Args: args})
}

// Contains asks for the certificate by its hash, and whether the system's verifier
// accepts it: a certificate in a keychain is not trusted by being there. -L keeps the
// verifier from the network.
func (k *keychain) Contains(ctx context.Context, a Anchor) (bool, error) {
	out, err := k.security(ctx, "find-certificate", "-a", "-Z", k.path)
	if err != nil || !strings.Contains(strings.ToLower(string(out)), a.Fingerprint) {
		return false, commandFailed(ctx, err)
	}
	_, err = k.security(ctx, "verify-cert", "-q", "-L", "-l", "-p", "ssl", "-c", a.File)
	return err == nil, commandFailed(ctx, err)
}

// commandFailed is err unless it only means that a program said no.
func commandFailed(ctx context.Context, err error) error {
	if ran := (*CommandError)(nil); errors.As(err, &ran) && ctx.Err() == nil {
		return nil
	}
	return err
}

func (k *keychain) Install(ctx context.Context, a Anchor) error {
	if k.Info().Asks && !k.m.Prompt {
		return ErrNeedsPerson
	}
	args := append([]string{"add-trusted-cert"}, k.args...)
	_, err := k.security(ctx, append(args, "-r", "trustRoot", "-p", "ssl", "-p", "basic", "-k", k.path, a.File)...)
	return err
}

func (k *keychain) Remove(ctx context.Context, a Anchor) error {
	if k.Info().Asks && !k.m.Prompt {
		return ErrNeedsPerson
	}
	args := append([]string{"remove-trusted-cert"}, k.args...)
	_, trustErr := k.security(ctx, append(args, a.File)...)
	if _, err := k.security(ctx, "delete-certificate", "-Z", strings.ToUpper(a.Fingerprint), k.path); err != nil {
		return errors.Join(trustErr, err)
	}
	return nil // Without the certificate its settings say nothing.
}
