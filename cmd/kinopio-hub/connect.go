package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"
	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// connectFlags say how a command is connected to a NATS system: by flags, else by a context of the nats CLI, else by the
// variables that the nats CLI has.
type connectFlags struct {
	servers                           []string
	context                           string
	creds, user, password, token      string
	nkey, caFile, certFile, keyFile   string
	inboxPrefix                       string
	tlsFirst                          bool
	natsContext                       natsContext
	passwordText, tokenText, nkeySeed string
	credsText                         string
}

func (c *connectFlags) add(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringArrayVarP(&c.servers, "server", "s", nil, "URL of a server, nats://, tls://, ws:// or wss://; repeat for more (default: $NATS_URL, or that of the context)")
	f.StringVar(&c.context, "context", "", "context of the nats CLI (default: $NATS_CONTEXT, or the selected one if no server is given)")
	f.StringVar(&c.creds, "creds", "", "credentials file (default: $NATS_CREDS)")
	f.StringVar(&c.user, "user", "", "user (default: $NATS_USER, with $NATS_PASSWORD)")
	f.StringVar(&c.password, "password-file", "", "file with that user's password")
	f.StringVar(&c.token, "token-file", "", "file with a token")
	f.StringVar(&c.nkey, "nkey", "", "file with the seed of a user's nkey (default: $NATS_NKEY)")
	f.StringVar(&c.caFile, "ca-file", "", "PEM roots for the server's certificate (default: $NATS_CA, or those of this machine)")
	f.StringVar(&c.certFile, "cert-file", "", "PEM client certificate (default: $NATS_CERT)")
	f.StringVar(&c.keyFile, "key-file", "", "PEM key of that certificate (default: $NATS_KEY)")
	f.BoolVar(&c.tlsFirst, "tls-first", false, "begin with TLS at once")
	f.StringVar(&c.inboxPrefix, "inbox-prefix", "", `beginning of the subjects of answers (default: "_INBOX")`)
}

// natsContext is what a context of the nats CLI says: its file is JSON, <config>/nats/context/<name>.json.
type natsContext struct {
	URL         string `json:"url"`
	Token       string `json:"token"`
	User        string `json:"user"`
	Password    string `json:"password"`
	Creds       string `json:"creds"`
	NKey        string `json:"nkey"`
	UserJWT     string `json:"user_jwt"`
	UserSeed    string `json:"user_seed"`
	Cert        string `json:"cert"`
	Key         string `json:"key"`
	CA          string `json:"ca"`
	InboxPrefix string `json:"inbox_prefix"`
	TLSFirst    bool   `json:"tls_first"`
	NSC         string `json:"nsc"`
	SOCKSProxy  string `json:"socks_proxy"`
}

// contextDir is where the nats CLI has its contexts.
func contextDir(getenv env) (string, error) {
	if dir := getenv("XDG_CONFIG_HOME"); dir != "" {
		return filepath.Join(dir, "nats"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".config", "nats"), err
}

// readContext reads the context that is asked for; the selected one if servers are asked for by nothing else.
func (c *connectFlags) readContext(getenv env) error {
	name, asked := c.context, true
	if name == "" {
		name = getenv("NATS_CONTEXT")
	}
	dir, err := contextDir(getenv)
	if name == "" {
		asked = false
		if len(c.servers) > 0 || getenv("NATS_URL") != "" || err != nil {
			return nil
		}
		selected, err := readText("the selected context", filepath.Join(dir, "context.txt"))
		if err != nil || selected == "" {
			return nil // None is selected.
		}
		name = selected
	}
	fail := func(err error) error {
		source := "--context"
		if !asked {
			source = "the selected context"
		}
		return &usageError{err: fmt.Errorf("%s %q: %w", source, name, err), hint: "nats context ls shows those that there are"}
	}
	if err != nil {
		return fail(err)
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return fail(errors.New("not a name of a context"))
	}
	text, err := readText("--context", filepath.Join(dir, "context", name+".json"))
	if err != nil {
		return fail(err)
	}
	if err := json.Unmarshal([]byte(text), &c.natsContext); err != nil {
		return fail(fmt.Errorf("%s: %w", filepath.Join(dir, "context", name+".json"), err))
	}
	switch {
	case c.natsContext.NSC != "":
		return fail(errors.New("it takes its credentials from nsc: give --creds with the file that nsc generate creds makes"))
	case c.natsContext.SOCKSProxy != "":
		return fail(errors.New("it goes through a SOCKS proxy, which is not known here: give --server"))
	}
	return nil
}

// complete reads the files, and asks context and environment for what is not given. Credentials come from one place: where
// flags give any, those of a context and of the environment do not count.
func (c *connectFlags) complete(getenv env) error {
	if err := c.readContext(getenv); err != nil {
		return err
	}
	k := &c.natsContext
	first := func(values ...string) string {
		for _, v := range values {
			if v != "" {
				return v
			}
		}
		return ""
	}
	if len(c.servers) == 0 {
		for _, url := range strings.Split(first(k.URL, getenv("NATS_URL")), ",") {
			if url = strings.TrimSpace(url); url != "" {
				c.servers = append(c.servers, url)
			}
		}
	}
	for i, url := range c.servers {
		if !strings.Contains(url, "://") {
			c.servers[i] = "nats://" + url // As the nats CLI takes it.
		}
	}
	if c.creds+c.user+c.token+c.nkey == "" {
		c.creds, c.nkey = k.Creds, k.NKey
		c.user, c.passwordText, c.tokenText = k.User, k.Password, k.Token
		if k.UserJWT != "" && k.UserSeed != "" {
			c.credsText = credsOf(k.UserJWT, k.UserSeed)
		}
	}
	if c.creds+c.credsText+c.user+c.token+c.tokenText+c.nkey == "" {
		c.creds, c.nkey = getenv("NATS_CREDS"), getenv("NATS_NKEY")
		c.user, c.passwordText, c.tokenText = getenv("NATS_USER"), getenv("NATS_PASSWORD"), getenv("NATS_TOKEN")
		if c.user != "" && c.passwordText == "" && c.password == "" {
			c.user, c.tokenText = "", c.user // A user alone is a token, as at the nats CLI.
		}
	}
	c.caFile, c.certFile = first(c.caFile, k.CA, getenv("NATS_CA")), first(c.certFile, k.Cert, getenv("NATS_CERT"))
	c.keyFile = first(c.keyFile, k.Key, getenv("NATS_KEY"))
	c.inboxPrefix, c.tlsFirst = first(c.inboxPrefix, k.InboxPrefix), c.tlsFirst || k.TLSFirst
	for _, file := range []struct {
		flag, path string
		into       *string
	}{
		{"--creds", c.creds, &c.credsText}, {"--password-file", c.password, &c.passwordText},
		{"--token-file", c.token, &c.tokenText}, {"--nkey", c.nkey, &c.nkeySeed},
	} {
		if file.path == "" {
			continue
		}
		text, err := readText(file.flag, file.path)
		if err != nil {
			return err
		}
		*file.into = text
	}
	return c.check()
}

// check says which credentials do not fit together.
func (c *connectFlags) check() error {
	ways := 0
	for _, way := range []string{c.credsText, c.user, c.tokenText, c.nkeySeed} {
		if way != "" {
			ways++
		}
	}
	switch {
	case ways > 1:
		return &usageError{err: errors.New("--creds, --user, --token-file and --nkey exclude each other"), hint: "give one of them"}
	case c.user != "" && c.passwordText == "":
		return &usageError{err: fmt.Errorf("--user %q: it has no password", c.user), hint: "give --password-file, or a credentials file with --creds"}
	case c.user == "" && c.password != "":
		return &usageError{err: errors.New("--password-file without --user"), hint: "give both"}
	case (c.certFile == "") != (c.keyFile == ""):
		return &usageError{err: errors.New("--cert-file and --key-file belong together"), hint: "give both or neither"}
	}
	return nil
}

// secret reports whether a server is shown anything.
func (c *connectFlags) secret() bool {
	return c.creds+c.credsText+c.user+c.token+c.tokenText+c.nkey+c.certFile != ""
}

// keepOnly takes away what was not given by flags, which are what was there before complete.
func (c *connectFlags) keepOnly(flags connectFlags) {
	if flags.creds+flags.user+flags.token+flags.nkey == "" {
		c.creds, c.credsText, c.nkey, c.nkeySeed = "", "", "", ""
		c.user, c.password, c.passwordText, c.token, c.tokenText = "", "", "", "", ""
	}
	if flags.certFile == "" {
		c.certFile, c.keyFile = "", ""
	}
	if flags.caFile == "" {
		c.caFile = ""
	}
}

// credsOf is a credentials file of a JWT and a seed.
func credsOf(jwt, seed string) string {
	return "-----BEGIN NATS USER JWT-----\n" + jwt + "\n------END NATS USER JWT------\n-----BEGIN USER NKEY SEED-----\n" + seed + "\n------END USER NKEY SEED------\n"
}

// tls is what the files say of TLS; nil if nothing does.
func (c *connectFlags) tls() (*tls.Config, error) {
	if c.caFile+c.certFile == "" {
		return nil, nil
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.caFile != "" {
		pem, err := readText("--ca-file", c.caFile)
		if err != nil {
			return nil, err
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM([]byte(pem)) {
			return nil, &usageError{err: fmt.Errorf("--ca-file %q: no certificate in it", c.caFile), hint: "give a PEM file"}
		}
	}
	if c.certFile != "" {
		pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("--cert-file %q: %w", c.certFile, err), hint: "give a PEM certificate and its key"}
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

// config is that of a hub.
func (c *connectFlags) config(name string) (hub.Config, error) {
	conf, err := c.tls()
	return hub.Config{
		Servers: c.servers, Name: name, TLS: conf, TLSFirst: c.tlsFirst, InboxPrefix: c.inboxPrefix,
		Auth: hub.Auth{Token: c.tokenText, User: c.user, Password: c.passwordText, NkeySeed: c.nkeySeed, Creds: c.credsText},
	}, err
}

// options are those of a plain client of the same servers.
func (c *connectFlags) options(name string) ([]nats.Option, error) {
	conf, err := c.tls()
	if err != nil {
		return nil, err
	}
	options := []nats.Option{nats.Name(name)}
	if conf != nil {
		options = append(options, nats.Secure(conf))
	}
	if c.tlsFirst {
		options = append(options, nats.TLSHandshakeFirst())
	}
	if c.inboxPrefix != "" {
		options = append(options, nats.CustomInboxPrefix(c.inboxPrefix))
	}
	switch {
	case c.credsText != "":
		options = append(options, nats.UserCredentialBytes([]byte(c.credsText)))
	case c.user != "":
		options = append(options, nats.UserInfo(c.user, c.passwordText))
	case c.tokenText != "":
		options = append(options, nats.Token(c.tokenText))
	case c.nkeySeed != "":
		pair, err := nkeys.FromSeed([]byte(c.nkeySeed))
		if err != nil {
			return nil, &usageError{err: fmt.Errorf("--nkey %q: %w", c.nkey, err), hint: "give a file with a seed that begins with SU"}
		}
		public, err := pair.PublicKey()
		if err != nil {
			return nil, err
		}
		options = append(options, nats.Nkey(public, pair.Sign))
	}
	return options, nil
}
