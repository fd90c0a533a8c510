package leaf

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
)

// A realm is an operator with one account and one user.
type realm struct {
	operator, account, creds string
}

func newRealm(t *testing.T) realm {
	t.Helper()
	key := func(make func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string) {
		kp, err := make()
		if err != nil {
			t.Fatal(err)
		}
		public, _ := kp.PublicKey()
		return kp, public
	}
	op, opKey := key(nkeys.CreateOperator)
	acc, accKey := key(nkeys.CreateAccount)
	user, userKey := key(nkeys.CreateUser)
	oc := jwt.NewOperatorClaims(opKey)
	oc.Name = "op"
	ac := jwt.NewAccountClaims(accKey)
	ac.Name = "studio"
	uc := jwt.NewUserClaims(userKey)
	uc.IssuerAccount = ""
	var r realm
	var err error
	if r.operator, err = oc.Encode(op); err != nil {
		t.Fatal(err)
	}
	if r.account, err = ac.Encode(op); err != nil {
		t.Fatal(err)
	}
	token, err := uc.Encode(acc)
	if err != nil {
		t.Fatal(err)
	}
	seed, _ := user.Seed()
	creds, err := jwt.FormatUserConfig(token, seed)
	if err != nil {
		t.Fatal(err)
	}
	r.creds = filepath.Join(t.TempDir(), "user.creds")
	if err := os.WriteFile(r.creds, creds, 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

type nothingKept struct{}

func (nothingKept) Status() KeeperStatus { return KeeperStatus{} }
func (nothingKept) Close()               {}

// InProcessConn lets nats.go connect as a part of the leaf's process does.
func (i Inside) InProcessConn() (net.Conn, error) { return i.Dial(context.Background()) }

// fromInside connects as a part of the leaf's process.
func fromInside(t *testing.T, in Inside) {
	t.Helper()
	seed, creds, err := in.Credentials()
	if err != nil {
		t.Fatal(err)
	}
	login := nats.UserCredentialBytes([]byte(creds))
	if creds == "" {
		pair, err := nkeys.FromSeed([]byte(seed))
		if err != nil {
			t.Fatal(err)
		}
		public, err := pair.PublicKey()
		if err != nil {
			t.Fatal(err)
		}
		login = nats.Nkey(public, pair.Sign)
	}
	if err := connect(t, "", nats.InProcessServer(in), login).Flush(); err != nil {
		t.Error(err)
	}
}

func TestOnlyThoseWithCredentialsGetIn(t *testing.T) {
	user, _ := nkeys.CreateUser()
	public, _ := user.PublicKey()
	sign := nats.Nkey(public, func(nonce []byte) ([]byte, error) { return user.Sign(nonce) })
	realm := newRealm(t)
	for mode, c := range map[string]struct {
		access Access
		good   []nats.Option
		bad    nats.Option
	}{
		"token": {Access{Token: "t0ken-s3cret"}, []nats.Option{nats.Token("t0ken-s3cret")}, nats.Token("wrong")},
		"users": {Access{Users: []User{{"ada", "p4ss-s3cret"}, {"bob", "b0b-s3cret"}}},
			[]nats.Option{nats.UserInfo("ada", "p4ss-s3cret"), nats.UserInfo("bob", "b0b-s3cret")}, nats.UserInfo("ada", "wrong")},
		"nkeys": {Access{NKeys: []string{public}}, []nats.Option{sign}, nats.UserInfo("ada", "x")},
		"users+nkeys": {Access{Users: []User{{"ada", "p4ss-s3cret"}}, NKeys: []string{public}},
			[]nats.Option{sign, nats.UserInfo("ada", "p4ss-s3cret")}, nats.Token("x")},
		"operator": {Access{OperatorJWT: realm.operator, AccountJWTs: []string{realm.account}},
			[]nats.Option{nats.UserCredentials(realm.creds)}, nats.UserCredentials(newRealm(t).creds)},
	} {
		t.Run(mode, func(t *testing.T) {
			_, port := startHub(t, nil)
			conf := config(t)
			conf.Access = c.access
			conf.BackboneServers = []string{"nats://" + at(port)}
			var inside Inside
			conf.Keep = func(_ context.Context, in Inside) (Keeper, error) {
				inside = in
				return nothingKept{}, nil
			}
			l, seen := startLeaf(t, conf)
			s := seen.awaitBridge(t, BridgeConnected)
			if s.Access.Mode != mode || s.Access.OpenToLAN {
				t.Errorf("status: %+v", s.Access)
			}
			fromInside(t, inside)
			for _, url := range []string{s.ClientURL, s.WSSURL} {
				for _, good := range c.good {
					if err := connect(t, url, good, nats.Secure(trusting(t, l)), noTLSFor(url)).Flush(); err != nil {
						t.Error(err)
					}
				}
				for _, bad := range []nats.Option{c.bad, func(*nats.Options) error { return nil }} {
					if nc, err := nats.Connect(url, bad, nats.Secure(trusting(t, l)), noTLSFor(url)); err == nil {
						t.Errorf("%s: a stranger got in", url)
						nc.Close()
					}
				}
			}
			shown, _ := json.Marshal(l.Status())
			log, _ := os.ReadFile(s.LogFile)
			if all := string(shown) + string(log); strings.Contains(all, "s3cret") {
				t.Errorf("a secret is shown: %s", all)
			}
		})
	}
}

// noTLSFor: the client listener is on loopback and speaks without.
func noTLSFor(url string) nats.Option {
	return func(o *nats.Options) error {
		if strings.HasPrefix(url, "nats://") {
			o.Secure, o.TLSConfig = false, nil
		}
		return nil
	}
}

func TestOpenLeafSaysSo(t *testing.T) {
	for addr, open := range map[string]bool{"127.0.0.1": false, "0.0.0.0": true} {
		c := config(t)
		c.LANBindAddress, c.NoWebSocketTLS = addr, true
		l, _ := startLeaf(t, c)
		if got := l.Status().Access; got.OpenToLAN != open || got.Mode != "open" || got.MaxConnections != 4096 || got.MaxPayload != 1<<20 {
			t.Errorf("%s: %+v", addr, got)
		}
	}
}

func TestConnectionsAndPayloadsAreLimited(t *testing.T) {
	c := config(t)
	c.MaxConnections, c.MaxPayload = 2, 100
	l, _ := startLeaf(t, c)
	a := connect(t, l.Status().ClientURL)
	connect(t, l.Status().ClientURL)
	if _, err := nats.Connect(l.Status().ClientURL); err == nil {
		t.Error("a third client got in")
	}
	if a.MaxPayload() != 100 {
		t.Errorf("max payload %d", a.MaxPayload())
	}
}

func FuzzAccessFilesNeverPanic(f *testing.F) {
	f.Add("eyJ0eXAiOiJKV1QiLCJhbGciOiJlZDI1NTE5LW5rZXkifQ.e30.x", "a.b.c", "UAx")
	f.Add("", "", "SUAx")
	f.Fuzz(func(t *testing.T, operator, account, nkey string) {
		for _, a := range []Access{{OperatorJWT: operator, AccountJWTs: []string{account}}, {NKeys: []string{nkey}}} {
			if got, err := a.normalize(); err == nil && got.mode == "" {
				t.Errorf("%+v is taken without a mode", a)
			}
		}
	})
}
