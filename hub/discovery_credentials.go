package hub

import (
	"context"
	"fmt"

	"github.com/kinopio-hub/kinopio-hub/v3/transport"
)

// checkCredentials fills in the default, and refuses what contradicts itself.
func (d *Discovery) checkCredentials() error {
	own := d.Auth != Auth{}
	switch d.Credentials {
	case "":
		d.Credentials = CredentialsNone
		if own {
			d.Credentials = CredentialsOwn
		}
	case CredentialsNone, CredentialsSame, CredentialsTicket:
		if own {
			return configError("Discovery.Credentials", d.Credentials, `"own", as there is a Discovery.Auth`)
		}
	case CredentialsOwn:
		if !own {
			return configError("Discovery.Auth", "", `credentials for leaves, as Discovery.Credentials is "own"`)
		}
	default:
		return configError("Discovery.Credentials", d.Credentials, `"none", "ticket", "same" or "own"`)
	}
	if err := d.Auth.check(); err != nil {
		return fmt.Errorf("Discovery.Auth: %w", err)
	}
	return nil
}

// leafAuthenticator shows configured servers what they are to be shown, and every other one, which
// discovery has found, what Discovery says.
func (cfg Config) leafAuthenticator() Authenticator {
	configured := map[string]bool{}
	for _, s := range cfg.Servers {
		configured[transport.Redact(s)] = true
	}
	ask, same, d := cfg.Authenticator, cfg.Auth, cfg.Discovery
	return func(ctx context.Context, server string) (Auth, error) {
		usual := func() (Auth, error) {
			if ask != nil {
				return ask(ctx, server)
			}
			return same, nil
		}
		if configured[server] {
			return usual()
		}
		return cfg.leaves.credentials(ctx, server, &d, usual)
	}
}

// refusedFor says what to do when leaf wants other credentials than it was shown.
func (h *Hub) refusedFor(leaf target) string {
	d := h.cfg.Discovery
	if (d.Credentials == CredentialsNone || d.Credentials == CredentialsTicket) && h.cfg.leaves.lookup(leaf.String()).tickets {
		return "; the leaf refuses the ticket that was got for it a moment ago: it has been used or is too old, or another server is at that address"
	}
	return fmt.Sprintf("; the leaf wants credentials, and discovery.credentials is %q: give it some that are good for leaves only, or start the leaf with --tickets", d.Credentials)
}
