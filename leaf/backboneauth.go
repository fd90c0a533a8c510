package leaf

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nats-server/v2/server"
)

// BackboneOptions say how a leaf logs in to its backbone, and how it speaks with it.
// The zero value uses what stands in the URLs. Files are read when the leaf starts,
// the credentials file at each connection.
type BackboneOptions struct {
	// CredentialsFile holds a user's JWT and seed, as nsc makes it.
	CredentialsFile string
	// User and Password, or Token, are used for URLs that hold none.
	User, Password, Token string

	// CAFile holds the roots (PEM) that the backbone's certificate is checked against,
	// instead of those that this machine trusts.
	CAFile string
	// CertFile and KeyFile are a client certificate (PEM). Both or neither.
	CertFile, KeyFile string
	// TLSFirst begins with TLS, for a backbone that sends nothing before it.
	TLSFirst bool

	// Compression is that of nats-server: s2_auto, s2_fast, s2_better, s2_best,
	// accept or off. Empty: s2_auto, by the round-trip time.
	Compression string
	// JetStreamDomain is the backbone's JetStream domain, which clients of the leaf
	// then use as if it were here. Empty: no JetStream over the bridge.
	JetStreamDomain string
}

var compressions = []string{
	server.CompressionS2Auto, server.CompressionS2Fast, server.CompressionS2Better, server.CompressionS2Best,
	server.CompressionAccept, server.CompressionOff,
}

// complete checks o and adds it to b.
func (b *backbone) complete(o BackboneOptions, conf *tls.Config) error {
	b.options = o
	logins := 0
	for _, given := range []bool{o.CredentialsFile != "", o.User != "" || o.Password != "", o.Token != ""} {
		if given {
			logins++
		}
	}
	secure := b.mode == modeTLS || b.mode == modeWSS
	tlsField, tlsValue := "", ""
	for _, f := range []struct{ field, value string }{{"Backbone.CAFile", o.CAFile}, {"Backbone.CertFile", o.CertFile}, {"Backbone.KeyFile", o.KeyFile}} {
		if f.value != "" && tlsField == "" {
			tlsField, tlsValue = f.field, f.value
		}
	}
	switch {
	case len(b.urls) == 0 && (logins > 0 || tlsField != "" || o.TLSFirst || o.Compression != "" || o.JetStreamDomain != ""):
		return fieldError("BackboneServers", "", "empty, although there are options for the backbone: give its URL, or leave the options out")
	case logins > 1:
		return fieldError("Backbone", "", "several ways to log in: give a credentials file, or user and password, or a token")
	case (o.User == "") != (o.Password == ""):
		return fieldError("Backbone.User", o.User, "user and password belong together: give both")
	case tlsField != "" && !secure:
		return fieldError(tlsField, tlsValue, "of no use without TLS: give tls:// or wss:// URLs, or leave it out")
	case o.TLSFirst && b.mode != modeTLS:
		return fieldError("Backbone.TLSFirst", "true", "only tls:// URLs know it: give those, or leave it out")
	case (o.CertFile == "") != (o.KeyFile == ""):
		return fieldError("Backbone.CertFile", o.CertFile+o.KeyFile, "a client certificate and its key belong together: give both or neither")
	case o.Compression != "" && !slices.Contains(compressions, o.Compression):
		return fieldError("Backbone.Compression", o.Compression, "not a mode: give one of "+strings.Join(compressions, ", "))
	case strings.ContainsAny(o.JetStreamDomain, ".*> \t"):
		return fieldError("Backbone.JetStreamDomain", o.JetStreamDomain, "not a domain: give one word without dots, such as hub")
	}
	if o.CredentialsFile != "" {
		if err := checkCredentials(o.CredentialsFile); err != nil {
			return fieldError("Backbone.CredentialsFile", o.CredentialsFile, err.Error()+": give a file with a user's JWT and seed, as nsc generate creds writes it")
		}
	}
	b.login(o)
	if secure {
		return b.secure(o, conf)
	}
	return nil
}

// login puts user, password or token into the URLs that have none, where nats-server
// looks for them.
func (b *backbone) login(o BackboneOptions) {
	var user *url.Userinfo
	switch {
	case o.User != "":
		user = url.UserPassword(o.User, o.Password)
		b.secrets = append(b.secrets, o.Password)
	case o.Token != "":
		user = url.User(o.Token)
		b.secrets = append(b.secrets, o.Token)
	default:
		return
	}
	b.secrets = append(b.secrets, user.String())
	for _, u := range b.urls {
		if u.User == nil {
			u.User = user
		}
	}
}

// secure makes the TLS configuration of the bridge.
func (b *backbone) secure(o BackboneOptions, conf *tls.Config) error {
	b.tls = &tls.Config{MinVersion: tls.VersionTLS12}
	if conf != nil {
		b.tls = conf.Clone()
	}
	if o.CAFile != "" {
		data, err := readSmall(o.CAFile)
		if err != nil {
			return fieldError("Backbone.CAFile", o.CAFile, err.Error())
		}
		b.tls.RootCAs = x509.NewCertPool()
		if !b.tls.RootCAs.AppendCertsFromPEM(data) {
			return fieldError("Backbone.CAFile", o.CAFile, "holds no certificate: give PEM blocks that begin with -----BEGIN CERTIFICATE-----")
		}
	}
	if o.CertFile != "" {
		cert, err := readSmall(o.CertFile)
		var key []byte
		if err == nil {
			key, err = readSmall(o.KeyFile)
		}
		var pair tls.Certificate
		if err == nil {
			pair, err = tls.X509KeyPair(cert, key)
		}
		if err != nil {
			return fieldError("Backbone.CertFile", o.CertFile, fmt.Sprintf("cannot be used with the key %s: %v", o.KeyFile, err))
		}
		b.tls.Certificates = []tls.Certificate{pair}
	}
	return nil
}

// checkCredentials reads the file once, so that a mistake in it is known at the start
// and not at the first connection.
func checkCredentials(path string) error {
	data, err := givenfile.ReadAgain(path, mostGiven)
	if err != nil {
		return err
	}
	if givenfile.IsUTF16(data) {
		return errors.New("is text in UTF-16, which nats-server does not read: save it as UTF-8")
	}
	return parseCredentials(data)
}

func parseCredentials(data []byte) error {
	defer clear(data)
	token, err := jwt.ParseDecoratedJWT(data)
	if err != nil {
		return fmt.Errorf("holds no JWT")
	}
	if _, err := jwt.DecodeUserClaims(token); err != nil {
		return fmt.Errorf("holds no user's JWT")
	}
	pair, err := jwt.ParseDecoratedUserNKey(data)
	if err != nil {
		return fmt.Errorf("holds no user's seed")
	}
	pair.Wipe()
	return nil
}

const mostGiven = 1 << 20 // Bytes.

// readSmall reads a file that a person wrote: one that is larger is another one. The bridge, and who
// looks for new certificates, read such files again.
func readSmall(path string) ([]byte, error) {
	data, err := givenfile.ReadAgain(path, mostGiven)
	if err != nil {
		return nil, err
	}
	return givenfile.WithoutMark(data)
}
