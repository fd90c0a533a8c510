//go:build !js

package hub

import (
	"bytes"
	"crypto/ed25519"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
)

// What is read here is what nkeys reads.
func TestUserKeysAreThoseOfNkeys(t *testing.T) {
	nonce := []byte("a server's challenge")
	for range 50 {
		pair, err := nkeys.CreateUser()
		if err != nil {
			t.Fatal(err)
		}
		seed, _ := pair.Seed()
		want, _ := pair.PublicKey()
		for _, text := range []string{string(seed), " " + string(seed) + "\r\n"} {
			key, err := userKey(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := publicName(key); got != want {
				t.Fatalf("the public key is %s, want %s", got, want)
			}
			if err := pair.Verify(nonce, ed25519.Sign(key, nonce)); err != nil {
				t.Fatal(err)
			}
		}
		for i := range len(seed) - 1 { // one wrong character; two bits of the last one say nothing
			bad := bytes.Clone(seed)
			if bad[i]++; bad[i] > 'Z' || bad[i] == '8' {
				bad[i] = 'A'
			}
			if _, err := userKey(string(bad)); err == nil {
				t.Fatalf("the seed with character %d changed from %c to %c is taken", i, seed[i], bad[i])
			}
		}
	}
	account, _ := nkeys.CreateAccount()
	seed, _ := account.Seed()
	public, _ := account.PublicKey()
	for _, bad := range []string{"", "SU", string(seed), string(seed[:20]), public, strings.ToLower(string(seed))} {
		if _, err := userKey(bad); err == nil {
			t.Errorf("%q is taken for the seed of a user", bad)
		}
	}
}

func TestCredentialsAreReadAsNkeysReadsThem(t *testing.T) {
	pair, err := nkeys.CreateUser()
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := pair.Seed()
	public, _ := pair.PublicKey()
	file := "-----BEGIN NATS USER JWT-----\neyJ0.eyJq-_.c2ln=\n------END NATS USER JWT------\n\n" +
		"************************* IMPORTANT *************************\nNKEY Seed printed below can be used to sign and prove identity.\n\n" +
		"-----BEGIN USER NKEY SEED-----\n" + string(seed) + "\n------END USER NKEY SEED------\n\n*************************************************************\n"
	for name, text := range map[string]string{"as nsc writes it": file, "with CRLF": strings.ReplaceAll(file, "\n", "\r\n"), "after empty lines": "\n\n" + file} {
		jwt, key, err := splitCreds(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		want, err := nkeys.ParseDecoratedJWT([]byte(text))
		if err != nil || jwt != want {
			t.Errorf("%s: the JWT is %q, want %q, %v", name, jwt, want, err)
		}
		if got := publicName(key); got != public {
			t.Errorf("%s: the key is %s, want %s", name, got, public)
		}
	}
	// It ends where the file does.
	if _, _, err := splitCreds(strings.TrimSuffix(file[:strings.LastIndex(file, "\n\n")], "\n")); err != nil {
		t.Errorf("without what follows the seed: %v", err)
	}
	account, _ := nkeys.CreateAccount()
	other, _ := account.Seed()
	for name, text := range map[string]string{
		"nothing": "", "a JWT alone": "eyJ0.eyJq.c2ln", "without the seed": file[:strings.Index(file, "****")],
		"an account's seed": strings.ReplaceAll(file, string(seed), string(other)), "rules alone": strings.Repeat("-----\n", 10),
	} {
		if _, _, err := splitCreds(text); err == nil || strings.Contains(err.Error(), string(seed)) {
			t.Errorf("%s: got %v, want an error without the seed", name, err)
		}
	}
}

func FuzzCreds(f *testing.F) {
	f.Add("---a---\nb\n---c---\n---d---\nSUAB\n---e---")
	f.Add("------\n------\n------\n------\n------\n------")
	f.Fuzz(func(t *testing.T, text string) {
		if jwt, key, err := splitCreds(text); err == nil && (jwt == "" || len(key) != ed25519.PrivateKeySize) {
			t.Errorf("%q gave %q and a key of %d bytes", text, jwt, len(key))
		}
	})
}
