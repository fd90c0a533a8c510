package main

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

const (
	exitError  = 1
	exitUsage  = 2
	exitAtOnce = 130 // As shells report an end by SIGINT.
)

// usageError is a command line that cannot be understood.
type usageError struct {
	err     error
	command string
	hint    string // Empty: how to get help.
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }
func (e *usageError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return fmt.Sprintf("%s --help lists what there is", e.command)
}

// report prints err and what to do about it, and returns the exit code.
func report(stderr io.Writer, err error, command string) int {
	code := exitError
	message := err.Error()

	var usage *usageError
	var config *leaf.ConfigError
	switch {
	case errors.As(err, &usage):
		code = exitUsage
	case errors.As(err, &config):
		code = exitUsage
		message = fmt.Sprintf("%s %q: %s", flagFor(config.Field), config.Value, inFlags(config.Problem))
	}
	fmt.Fprintf(stderr, "error: %s\n", plain(strings.TrimSpace(message)))
	if hint := hintFor(err, command); hint != "" {
		fmt.Fprintf(stderr, "hint: %s\n", hint)
	}
	return code
}

// flagFor is the flag of a field, or of the one that it is a part of; the field if it has none.
func flagFor(field string) string {
	part := ""
	for whole := field; ; {
		if flag, ok := flagOf[whole]; ok {
			return strings.TrimSpace(flag + " " + part)
		}
		i := strings.LastIndexByte(whole, '.')
		if i < 0 {
			return field
		}
		whole, part = whole[:i], field[i+1:]
	}
}

// inFlags is what the library says of a field's value, with flags where it names other fields.
func inFlags(problem string) string {
	return fieldName.ReplaceAllStringFunc(problem, func(field string) string {
		if flag, ok := flagOf[field]; ok {
			return flag
		}
		return field
	})
}

var fieldName = regexp.MustCompile(`\b(Ports\.\w+|Access\.\w+|Backbone\.\w+|NoWebSocketTLS|NoWebTransport|BackboneServers|AdvertisedHostname|LANBindAddress|CacheDir|RuntimeDir|ServeDir)\b`)

func hintFor(err error, command string) string {
	var own interface{ Hint() string }
	var config *leaf.ConfigError
	var listen *leaf.ListenError
	switch {
	case errors.As(err, &listen) && errors.Is(err, leaf.ErrNotHere):
		return listen.Hint() + " (--lan-bind-address)"
	case errors.As(err, &listen):
		return fmt.Sprintf("%s (--%s-port)", listen.Hint(), listen.Role)
	case errors.As(err, &own):
		return own.Hint()
	case errors.As(err, &config) && config.Field == "LANBindAddress" && errors.Is(config.Err, tlsca.ErrConstrained):
		return "reach it by a name: --advertised-hostname with a name below .local that devices look up there, or a certificate of your own with --tls-cert-file and --tls-key-file"
	case errors.As(err, &config) && config.Err != nil && causeHint(config.Err) != "":
		return causeHint(config.Err)
	case errors.As(err, &config):
		return command + " --help tells what each flag takes"
	}
	return causeHint(err)
}

// causeHint is for causes that stand behind a field, too.
func causeHint(err error) string {
	switch {
	case errors.Is(err, tlsca.ErrDamaged), errors.Is(err, tlsca.ErrLinked):
		return "the CA's directory is named above; another one can be had with --cache-dir"
	case errors.Is(err, tlsca.ErrConstrained):
		return "a name below .local or the address needs no new root: leave --advertised-hostname out, or see kinopio-hub ca --help"
	}
	return ""
}
