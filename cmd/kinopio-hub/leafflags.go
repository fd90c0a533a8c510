package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/givenfile"
	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// flagOf maps a field of leaf.Config to the flag that sets it, for error messages.
var flagOf = map[string]string{
	"DiscoveryNamespace":       "--discovery-namespace",
	"BackboneServers":          "--backbone-server",
	"Backbone":                 "--backbone-credentials, --backbone-user, --backbone-token-file",
	"Backbone.CredentialsFile": "--backbone-credentials",
	"Backbone.User":            "--backbone-user",
	"Backbone.CAFile":          "--backbone-ca-file",
	"Backbone.CertFile":        "--backbone-cert-file",
	"Backbone.KeyFile":         "--backbone-key-file",
	"Backbone.TLSFirst":        "--backbone-tls-first",
	"Backbone.Compression":     "--compression",
	"Backbone.JetStreamDomain": "--jetstream-domain",
	"AdvertisedHostname":       "--advertised-hostname",
	"NodeID":                   "--node-id",
	"CacheDir":                 "--cache-dir",
	"RuntimeDir":               "--runtime-dir",
	"LANBindAddress":           "--lan-bind-address",
	"Ports.Client":             "--client-port",
	"Ports.WebSocket":          "--websocket-port",
	"Ports.Discovery":          "--discovery-port",
	"Ports.Monitor":            "--monitor-port",
	"TLS":                      "--tls-cert-file and --tls-key-file",
	"Access":                   "--access-token-file, --access-users-file, --access-nkey, --access-operator-file",
	"Access.Users":             "--access-users-file",
	"Access.NKeys":             "--access-nkey",
	"Access.OperatorJWT":       "--access-operator-file",
	"Access.AccountJWTs":       "--access-account-file",
	"Access.Tickets":           "--tickets",
	"Access.TicketRights":      "--ticket-permissions",
	"NamespaceSecret":          "--namespace-secret",
	"PublicAddresses":          "--public-address",
	"BackboneClientServer":     "--backbone-client-server",
	"AllowedOrigins":           "--allowed-origin",
	"MaxConnections":           "--max-connections",
	"MaxPayload":               "--max-payload",
	"ServeDir":                 "--serve",
	"NoWebSocketTLS":           "--no-websocket-tls",
	"NoWebTransport":           "--no-webtransport",
}

// leafFlags are the flags that every command has that runs a leaf. Secrets come from
// files: what stands on a command line is seen by every user of the machine.
type leafFlags struct {
	config leaf.Config

	backbonePassword, backboneToken          string
	accessToken, accessUsers, accessOperator string
	accessAccounts                           []string
	secretFile, ticketRights                 string
	keep                                     keepFlags
}

func (l *leafFlags) add(cmd *cobra.Command) {
	f, c := cmd.Flags(), &l.config
	f.StringVar(&c.DiscoveryNamespace, "discovery-namespace", "", "name that the nodes of one system share (required)")
	f.StringArrayVar(&c.BackboneServers, "backbone-server", nil, "leafnode URL of the backbone; repeat for more (none: stand alone)")
	f.StringVar(&c.AdvertisedHostname, "advertised-hostname", "", "name or address in the URLs for others (default: the LAN address)")
	f.StringVar(&c.NodeID, "node-id", "", "name of this node (default: a random one)")
	f.StringVar(&c.CacheDir, "cache-dir", "", "folder for the CA (default: $KINOPIO_LEAF_CACHE_DIR, else the user's cache)")
	f.StringVar(&c.RuntimeDir, "runtime-dir", "", "folder for the log while the leaf runs (default: a temporary one)")
	f.StringVar(&c.LANBindAddress, "lan-bind-address", "", "address for WebSockets and the manifest (default: detected, and followed)")
	f.IntVar(&c.Ports.Client, "client-port", 0, "port for NATS clients on this machine (0: any)")
	f.IntVar(&c.Ports.WebSocket, "websocket-port", 0, "port for WebSockets on the LAN (0: any)")
	f.IntVar(&c.Ports.Discovery, "discovery-port", 0, "port for the manifest on the LAN (0: any)")
	f.IntVar(&c.Ports.Monitor, "monitor-port", 0, "port for monitoring on this machine (0: any)")
	f.BoolVar(&c.NoWebSocketTLS, "no-websocket-tls", false, "serve ws:// and http:// instead of wss:// and https://")
	f.BoolVar(&c.NoWebTransport, "no-webtransport", false, "take no pages by WebTransport, which needs no trust in a CA (UDP, at the websocket port)")
	f.StringVar(&c.TLS.CertFile, "tls-cert-file", "", "PEM certificate chain of your own (default: one from this machine's CA)")
	f.StringVar(&c.TLS.KeyFile, "tls-key-file", "", "PEM key of that certificate")
	f.StringVar(&c.ServeDir, "serve", "", "folder with a web app, served beside the manifest")

	f.StringVar(&l.accessToken, "access-token-file", "", "file with the token that clients of the leaf must give (default: all are let in)")
	f.StringVar(&l.accessUsers, "access-users-file", "", "file with a line name:password for each user")
	f.StringArrayVar(&c.Access.NKeys, "access-nkey", nil, "public user key (U…) of a client; repeat for more")
	f.StringVar(&l.accessOperator, "access-operator-file", "", "file with an operator's JWT; clients then bring credentials")
	f.StringArrayVar(&l.accessAccounts, "access-account-file", nil, "file with an account's JWT of that operator; repeat for more")
	f.BoolVar(&c.Access.Tickets, "tickets", false, "let in hubs that come over the backbone with a ticket of this leaf, and nobody else without credentials")
	f.StringVar(&l.ticketRights, "ticket-permissions", "", "JSON file with what they may publish and subscribe to (default: what the bridge may, but $SYS and JetStream)")
	f.StringArrayVar(&c.AllowedOrigins, "allowed-origin", nil, "origin whose pages may use the leaf; repeat for more (default: any)")
	f.IntVar(&c.MaxConnections, "max-connections", 0, "most clients at a time (0: 4096)")
	f.IntVar(&c.MaxPayload, "max-payload", 0, "largest message in bytes (0: 1 MiB; never above the backbone's)")

	b := &c.Backbone
	f.StringVar(&b.CredentialsFile, "backbone-credentials", "", "credentials file for the backbone")
	f.StringVar(&b.User, "backbone-user", "", "user at the backbone")
	f.StringVar(&l.backbonePassword, "backbone-password-file", "", "file with that user's password")
	f.StringVar(&l.backboneToken, "backbone-token-file", "", "file with a token for the backbone")
	f.StringVar(&b.CAFile, "backbone-ca-file", "", "PEM roots for the backbone's certificate (default: those of this machine)")
	f.StringVar(&b.CertFile, "backbone-cert-file", "", "PEM client certificate for the backbone")
	f.StringVar(&b.KeyFile, "backbone-key-file", "", "PEM key of that certificate")
	f.BoolVar(&b.TLSFirst, "backbone-tls-first", false, "begin with TLS at once (tls:// only)")
	f.StringVar(&b.Compression, "compression", "", "of the bridge: s2_auto, s2_fast, s2_better, s2_best, accept or off (default: s2_auto)")
	f.StringVar(&b.JetStreamDomain, "jetstream-domain", "", "JetStream domain of the backbone that clients of the leaf use")

	l.keep.addToLeaf(cmd)
	l.addSecret(cmd)
	f.StringArrayVar(&c.PublicAddresses, "public-address", nil, "address that the internet sees this LAN at; repeat for more (default: asked of the backbone)")
	f.StringVar(&c.BackboneClientServer, "backbone-client-server", "", "URL of the backbone for clients, which is asked (default: port 4222, or the same for ws:// and wss://)")
	f.SortFlags = false
}

// addSecret adds the flags of the namespace's secret.
func (l *leafFlags) addSecret(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&l.config.NamespaceSecret, "namespace-secret", "", "secret that all leaves of the namespace know; better in $KINOPIO_NAMESPACE_SECRET, as others see command lines")
	f.StringVar(&l.secretFile, "namespace-secret-file", "", "file with that secret")
}

// secret is the namespace's, from the flag, the file or the environment; "" without one.
func (l *leafFlags) secret(getenv env) (string, error) {
	switch given := l.config.NamespaceSecret; {
	case given != "" && l.secretFile != "":
		return "", &usageError{err: errors.New("--namespace-secret and --namespace-secret-file exclude each other"), hint: "give one of them"}
	case given != "":
		return given, nil
	case l.secretFile != "":
		return readText("--namespace-secret-file", l.secretFile)
	}
	return getenv("KINOPIO_NAMESPACE_SECRET"), nil
}

// complete reads the files that flags name and asks the environment. Somebody may be
// asked about trust only where there is a person.
func (l *leafFlags) complete(getenv env, person bool) (leaf.Config, error) {
	c := l.config
	if c.CacheDir == "" {
		c.CacheDir = getenv("KINOPIO_LEAF_CACHE_DIR")
	}
	if !getenv.skipTrustInstall() {
		machine := getenv.machine(person && isTerminal(os.Stdin) && isTerminal(os.Stderr))
		machine.Elevate = false // A start asks for no password.
		c.Trust = &tlsca.TrustOptions{Machine: machine}
	}
	var err error
	if c.NamespaceSecret, err = l.secret(getenv); err != nil {
		return c, err
	}
	if c.Keep, err = l.keep.forLeaf(); err != nil {
		return c, err
	}
	users, rights := "", ""
	for _, file := range []struct {
		flag, path string
		into       *string
	}{
		{"--backbone-password-file", l.backbonePassword, &c.Backbone.Password},
		{"--backbone-token-file", l.backboneToken, &c.Backbone.Token},
		{"--access-token-file", l.accessToken, &c.Access.Token},
		{"--access-users-file", l.accessUsers, &users},
		{"--access-operator-file", l.accessOperator, &c.Access.OperatorJWT},
		{"--ticket-permissions", l.ticketRights, &rights},
	} {
		if file.path == "" {
			continue
		}
		text, err := readText(file.flag, file.path)
		if err != nil {
			return c, err
		}
		*file.into = text
	}
	for _, path := range l.accessAccounts {
		text, err := readText("--access-account-file", path)
		if err != nil {
			return c, err
		}
		c.Access.AccountJWTs = append(c.Access.AccountJWTs, text)
	}
	if l.ticketRights != "" {
		if c.Access.TicketRights, err = leaf.ParseTicketRights(rights); err != nil {
			return c, err
		}
	}
	c.Access.Users, err = parseUsers(users)
	return c, err
}

// parseUsers reads lines name:password. Empty lines and those that begin with # say nothing.
func parseUsers(text string) (users []leaf.User, err error) {
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimRight(line, "\r\n")
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, password, ok := strings.Cut(line, ":")
		if !ok || name == "" || password == "" {
			return nil, &usageError{err: fmt.Errorf("--access-users-file: line %d is not name:password", number), hint: "write one user a line, such as ada:her-password"}
		}
		users = append(users, leaf.User{Name: name, Password: password})
	}
	return users, nil
}

// readText reads a small file without the line end that editors add.
func readText(flag, path string) (string, error) {
	const most = 64 << 10
	data, err := givenfile.Read(path, most)
	if _, place := errors.AsType[*fs.PathError](err); place {
		return "", &usageError{err: fmt.Errorf("%s: %w", flag, err), hint: "name a file that this user can read"}
	}
	if err == nil {
		data, err = givenfile.Text(data)
	}
	data = bytes.TrimSpace(data)
	switch {
	case err != nil:
	case len(data) == 0:
		err = errors.New("is empty")
	}
	if err != nil {
		return "", &usageError{err: fmt.Errorf("%s %s: %w", flag, path, err), hint: "put the secret, and nothing else, into the file"}
	}
	return string(data), nil
}
