package leaf

import (
	"crypto/subtle"
	"encoding/base64"
	"regexp"
	"slices"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"golang.org/x/crypto/bcrypt"
)

// A gate lets clients in, instead of nats-server's own rules, which know no tickets and could not keep
// clients of an open leaf from answering in its stead. With an operator those rules stay.
type gate struct{ *access }

// Check: see server.Authentication.
func (g gate) Check(c server.ClientAuthentication) bool {
	o := c.GetOpts()
	if o.Nkey != "" && signed(o.Nkey, o.Sig, c.GetNonce()) {
		switch {
		case o.Nkey == g.own.public:
			return true // Without limits.
		case g.tickets != nil && g.tickets.use(o.Nkey):
			c.RegisterUser(&server.User{Username: "ticket", Permissions: g.ticketRights()})
			return true
		case slices.Contains(g.NKeys, o.Nkey):
			c.RegisterUser(&server.User{Permissions: guestRights()})
			return true
		}
	}
	if !g.letsIn(o) {
		return false
	}
	c.RegisterUser(&server.User{Permissions: guestRights()})
	return true
}

func (g gate) letsIn(o *server.ClientOpts) bool {
	switch {
	case g.mode == accessOpen:
		return true
	case g.Token != "":
		return same(g.Token, o.Token)
	}
	for _, u := range g.Users {
		if u.Name == o.Username {
			return same(u.Password, o.Password)
		}
	}
	return false
}

// signed says whether the owner of key, a public user key, has signed the server's nonce.
func signed(key, signature string, nonce []byte) bool {
	sig, err := base64.RawURLEncoding.DecodeString(signature)
	if err != nil {
		if sig, err = base64.StdEncoding.DecodeString(signature); err != nil {
			return false
		}
	}
	public, err := nkeys.FromPublicKey(key)
	return err == nil && nkeys.IsValidPublicUserKey(key) && len(nonce) > 0 && public.Verify(nonce, sig) == nil
}

var hashed = regexp.MustCompile(`^\$2[abxy]\$\d{2}\$`)

// same compares a secret with what a client shows, as nats-server does: the first may be a bcrypt hash.
func same(secret, shown string) bool {
	if hashed.MatchString(secret) {
		return bcrypt.CompareHashAndPassword([]byte(secret), []byte(shown)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(secret), []byte(shown)) == 1
}

// guestRights are everything, but to speak for the leaf.
func guestRights() *server.Permissions {
	return &server.Permissions{
		Publish:   &server.SubjectPermission{Deny: slices.Clone(notToSay)},
		Subscribe: &server.SubjectPermission{Deny: slices.Clone(notToHear)},
	}
}

// What is the herald's alone.
var (
	notToSay  = []string{reserved + "news.>"}
	notToHear = []string{reserved + "find.>", reserved + "names", reserved + "ticket.>"}
)

// A login is how a leaf's own client logs in to its server.
type login struct {
	pair   nkeys.KeyPair
	public string // A user key, new with each leaf.
	jwt    string // With an operator.
}

func newLogin() (login, error) {
	pair, public, err := newKey(nkeys.CreateUser)
	return login{pair: pair, public: public}, err
}

func (l login) options() []nats.Option {
	if l.jwt != "" {
		return []nats.Option{nats.UserJWT(func() (string, error) { return l.jwt, nil }, l.pair.Sign)}
	}
	return []nats.Option{nats.Nkey(l.public, l.pair.Sign)}
}

// adopt lets the leaf's own client in where users need an account's JWT: an operator of the leaf's own, whose key is not kept,
// confirms the account once more, with a key to sign users by that is not kept either. It returns the account's new JWT.
func (a *access) adopt(account string, o *server.Options) (string, error) {
	operator, operatorKey, err := newKey(nkeys.CreateOperator)
	if err != nil {
		return "", err
	}
	signer, signerKey, err := newKey(nkeys.CreateAccount)
	if err != nil {
		return "", err
	}
	claims, err := jwt.DecodeAccountClaims(account)
	if err != nil {
		return "", err
	}
	claims.SigningKeys.Add(signerKey)
	confirmed, err := claims.Encode(operator)
	if err != nil {
		return "", err
	}
	user := jwt.NewUserClaims(a.own.public)
	user.Name, user.IssuerAccount = "kinopio-leaf", claims.Subject
	if a.own.jwt, err = user.Encode(signer); err != nil {
		return "", err
	}
	own := jwt.NewOperatorClaims(operatorKey)
	own.Name, own.SystemAccount = "kinopio-leaf", a.operator.SystemAccount
	o.TrustedOperators = append(o.TrustedOperators, own)
	return confirmed, nil
}

func newKey(create func() (nkeys.KeyPair, error)) (nkeys.KeyPair, string, error) {
	pair, err := create()
	if err != nil {
		return nil, "", err
	}
	public, err := pair.PublicKey()
	return pair, public, err
}
