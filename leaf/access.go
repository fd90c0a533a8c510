package leaf

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nkeys"
)

// Access says who may use the leaf, on all of its listeners for NATS. The zero value
// lets everybody in. Token, users with nkeys, and operator exclude each other.
type Access struct {
	// Token is one secret for all.
	Token string
	// Users log in with a name and a password.
	Users []User
	// NKeys are public user keys (U…), whose owners sign what the server asks.
	NKeys []string
	// OperatorJWT is the JWT of an operator. Users then bring JWTs (credentials files)
	// that one of AccountJWTs has issued.
	OperatorJWT string
	// AccountJWTs are the operator's accounts. The bridge belongs to the first.
	AccountJWTs []string
	// Tickets lets in who has asked this leaf for a ticket over the backbone, and by itself nobody else: hubs that
	// found the leaf do that. Not with an operator.
	Tickets bool
	// TicketRights are what they may do. nil: everything that the bridge may, but $SYS, and JetStream.
	TicketRights *TicketRights
}

// User may use the leaf with a password.
type User struct{ Name, Password string }

// The values of [AccessStatus].Mode.
const (
	accessOpen     = "open"
	accessToken    = "token"
	accessUsers    = "users"
	accessNKeys    = "nkeys"
	accessOperator = "operator"
	accessTickets  = "tickets"
)

// AccessStatus says who may use the leaf.
type AccessStatus struct {
	Mode           string   `json:"mode"`      // open, or one or more of token, users, nkeys, operator and tickets, joined by +.
	OpenToLAN      bool     `json:"openToLan"` // Anybody on the LAN may use it: no credentials, and not on loopback only.
	AllowedOrigins []string `json:"allowedOrigins"`
	MaxConnections int      `json:"maxConnections"`
	MaxPayload     int      `json:"maxPayload"` // Bytes; never above the backbone's.
}

// access is an Access that has been checked.
type access struct {
	Access
	mode     string
	operator *jwt.OperatorClaims
	accounts []*jwt.AccountClaims
	secrets  []string

	own          login                      // Of the leaf's own client.
	tickets      *ticketBook                // nil: there are none.
	ticketRights func() *server.Permissions // A copy of its own for each client.
}

func (a Access) normalize() (access, error) {
	out := access{Access: a}
	var modes []string
	if a.Token != "" {
		modes = append(modes, accessToken)
		out.secrets = append(out.secrets, a.Token)
	}
	if len(a.Users) > 0 {
		modes = append(modes, accessUsers)
	}
	for i, u := range a.Users {
		switch {
		case u.Name == "" || u.Password == "":
			return out, fieldError("Access.Users", u.Name, "a user needs a name and a password: give both")
		case slices.ContainsFunc(a.Users[:i], func(have User) bool { return have.Name == u.Name }):
			return out, fieldError("Access.Users", u.Name, "given twice: give each user once")
		}
		out.secrets = append(out.secrets, u.Password)
	}
	if len(a.NKeys) > 0 {
		modes = append(modes, accessNKeys)
	}
	for _, key := range a.NKeys {
		if !nkeys.IsValidPublicUserKey(key) {
			if strings.HasPrefix(key, "S") {
				key = "S…" // A seed is the secret half.
			}
			return out, fieldError("Access.NKeys", key, "not a public user key: give one that begins with U, as nk -pubout prints it")
		}
	}
	if a.OperatorJWT != "" || len(a.AccountJWTs) > 0 {
		modes = append(modes, accessOperator)
		if err := out.decode(); err != nil {
			return out, err
		}
	}
	out.mode = strings.Join(modes, "+")
	switch out.mode {
	case "":
		out.mode = accessOpen
	case accessToken, accessUsers, accessNKeys, accessOperator, accessUsers + "+" + accessNKeys:
	default:
		return out, fieldError("Access", out.mode, "these exclude each other: give a token, or users and nkeys, or an operator")
	}
	if err := out.addTickets(); err != nil {
		return out, err
	}
	var err error
	out.own, err = newLogin()
	return out, err
}

// decode reads the operator's and the accounts' JWTs. They are public, but long.
func (a *access) decode() error {
	var err error
	if a.operator, err = jwt.DecodeOperatorClaims(strings.TrimSpace(a.OperatorJWT)); err != nil {
		return fieldError("Access.OperatorJWT", short(a.OperatorJWT), fmt.Sprintf("not an operator's JWT (%v): give the one that nsc describe operator --raw prints", err))
	}
	if len(a.AccountJWTs) == 0 {
		return fieldError("Access.AccountJWTs", "", "empty: give the JWT of at least one account of the operator, as nsc describe account --raw prints it")
	}
	signers := append([]string{a.operator.Subject}, a.operator.SigningKeys...)
	for _, text := range a.AccountJWTs {
		account, err := jwt.DecodeAccountClaims(strings.TrimSpace(text))
		if err != nil {
			return fieldError("Access.AccountJWTs", short(text), fmt.Sprintf("not an account's JWT (%v): give the one that nsc describe account --raw prints", err))
		}
		if !slices.Contains(signers, account.Issuer) {
			return fieldError("Access.AccountJWTs", account.Name, "not issued by the operator "+a.operator.Name+": give an account of this operator")
		}
		a.accounts = append(a.accounts, account)
	}
	return nil
}

func short(text string) string {
	if len(text) > 20 {
		return text[:20] + "…"
	}
	return text
}

// apply tells nats-server. The bridge is bound to account, "" for the only one.
func (a *access) apply(o *server.Options) (account string, err error) {
	if a.operator == nil {
		o.CustomClientAuthentication, o.AlwaysEnableNonce = gate{a}, true
		return "", nil
	}
	o.TrustedOperators = []*jwt.OperatorClaims{a.operator}
	resolver := &server.MemAccResolver{}
	if key := a.operator.SystemAccount; slices.ContainsFunc(a.accounts, func(c *jwt.AccountClaims) bool { return c.Subject == key }) {
		o.SystemAccount = key
	}
	for i, one := range a.accounts {
		text := strings.TrimSpace(a.AccountJWTs[i])
		if account == "" && one.Subject != o.SystemAccount {
			account = one.Subject
			if text, err = a.adopt(text, o); err != nil {
				return "", fmt.Errorf("let the leaf into the account %s: %w", one.Name, err)
			}
		}
		if err := resolver.Store(one.Subject, text); err != nil {
			return "", fmt.Errorf("keep account %s: %w", one.Name, err)
		}
	}
	o.AccountResolver = resolver
	if account == "" {
		return "", fieldError("Access.AccountJWTs", a.accounts[0].Name, "only the system account: give an account for the users, too")
	}
	return account, nil
}
