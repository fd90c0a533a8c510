// Package checks finds out why a hub does not come to a leaf through its session. Each check says what was found and what to do
// about it.
package checks

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// State is what came of a check.
type State string

const (
	OK      State = "ok"
	Warning State = "warning" // It works, and could work better.
	Fault   State = "fault"   // It does not work.
	Skipped State = "skipped" // Nothing was found out, because of another fault.
)

// Check is one result.
type Check struct {
	Name   string `json:"name"`
	State  State  `json:"state"`
	Detail string `json:"detail"`
	Next   string `json:"next,omitempty"` // What to do; "" if there is nothing to do.
}

// Session is what to look at: the server as a hub uses it, and what the hub knows of the namespace.
type Session struct {
	Server       string        // URL for clients, with credentials or without.
	Options      []nats.Option // Credentials, TLS.
	Namespace    string        // Of leaves.
	NamespaceKey string        // As kinopio-hub leaf key prints it; "": signatures are not checked.
	Wait         time.Duration // For answers. 0: 1 s.
}

// skew is how far the clocks of a leaf and this machine may be apart before it is said.
const skew = time.Minute

// Run makes all checks, in the order of what depends on what. It ends with ctx, or some seconds later than Wait.
func (s Session) Run(ctx context.Context) []Check {
	if s.Wait <= 0 {
		s.Wait = time.Second
	}
	r := &run{Session: s}
	nc, err := r.connect()
	if err != nil {
		return []Check{{"session", Fault, err.Error(), "check the URL and the credentials"}}
	}
	defer nc.Close()
	answers, names, err := r.ask(ctx, nc)
	if err != nil {
		return []Check{{"session", Fault, err.Error(), "try again: the connection ended while leaves were asked"}}
	}
	return []Check{
		{"session", OK, "connected to " + nc.ConnectedUrlRedacted(), ""},
		r.permissions(), r.answered(answers, names), r.signatures(answers), r.expiry(answers), r.webTransport(ctx, answers), r.namespaces(names),
	}
}

type run struct {
	Session
	nonce  string
	mu     sync.Mutex
	denied []string
}

func (r *run) connect() (*nats.Conn, error) {
	return nats.Connect(r.Server, append(slices.Clone(r.Options), nats.NoReconnect(), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.denied = append(r.denied, err.Error())
		}
	}))...)
}

// ask asks as a hub does.
func (r *run) ask(ctx context.Context, nc *nats.Conn) (answers, names []*nats.Msg, err error) {
	r.nonce = rand.Text()
	ctx, cancel := context.WithTimeout(ctx, r.Wait)
	defer cancel()
	if _, err := nc.Subscribe(leaf.NewsSubject(r.Namespace), func(*nats.Msg) {}); err != nil {
		return nil, nil, err
	}
	// Leaves answer in inboxes of this form only.
	inbox := "_INBOX." + rand.Text()[:10] + "." + rand.Text() + "."
	sub, err := nc.SubscribeSync(inbox + "*")
	if err != nil {
		return nil, nil, err
	}
	question, err := json.Marshal(map[string]string{"nonce": r.nonce})
	if err != nil {
		return nil, nil, err
	}
	for i, subject := range []string{leaf.FindSubject(r.Namespace), leaf.NamesSubject} {
		if err := nc.PublishRequest(subject, fmt.Sprint(inbox, i), question); err != nil {
			return nil, nil, err
		}
	}
	for {
		m, err := sub.NextMsgWithContext(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded):
			return answers, names, nil
		case errors.Is(err, nats.ErrNoResponders):
			// Nobody is there: the server says so.
		case errors.Is(err, nats.ErrPermissionViolation):
			<-ctx.Done() // There will be no answers; whether more is denied is heard meanwhile.
			return answers, names, nil
		case err != nil:
			return nil, nil, err
		case m.Header.Get("Status") != "":
			// It says so this way, too.
		case strings.HasSuffix(m.Subject, ".0"):
			answers = append(answers, m)
		default:
			names = append(names, m)
		}
	}
}

func (r *run) permissions() Check {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.denied) == 0 {
		return Check{"permissions", OK, "the user may ask for leaves, and hear of changes", ""}
	}
	slices.Sort(r.denied)
	return Check{"permissions", Fault, strings.Join(slices.Compact(r.denied), "; "), "let the user publish and subscribe to what «Discovery through the session» in docs/permissions.md has"}
}

func (r *run) answered(answers, names []*nats.Msg) Check {
	if len(answers) > 0 {
		var nodes []string
		for _, m := range answers {
			manifest, err := manifestOf(m)
			if err != nil {
				return Check{"answers", Fault, err.Error(), "somebody else than a leaf answers: see who may subscribe to " + leaf.FindSubject(r.Namespace)}
			}
			nodes = append(nodes, manifest.NodeID)
		}
		slices.Sort(nodes)
		return Check{"answers", OK, fmt.Sprintf("%d leaves answer in the namespace %q: %s", len(nodes), r.Namespace, strings.Join(nodes, ", ")), ""}
	}
	next := "start a leaf with --discovery-namespace " + r.Namespace + " and a bridge to this account (kinopio-hub leaf …; its status says bridgeState connected)"
	if others := namesOf(names); len(others) > 0 {
		next = fmt.Sprintf("use one of the namespaces that leaves answer in, %q, or %s", others, next)
	}
	return Check{"answers", Fault, fmt.Sprintf("no leaf answers in the namespace %q within %v", r.Namespace, r.Wait), next}
}

func (r *run) signatures(answers []*nats.Msg) Check {
	const name = "signatures"
	if len(answers) == 0 {
		return Check{name, Skipped, "there is no answer", ""}
	}
	if r.NamespaceKey == "" {
		return Check{name, Warning, "not checked, as there is no key of the namespace: anybody in the account can pass for a leaf", "give hubs discovery.namespaceKey, as kinopio-hub leaf key prints it"}
	}
	good := 0
	var wrong []string
	for _, m := range answers {
		if _, err := leaf.AnsweredAt(m, r.nonce, r.NamespaceKey); err == nil {
			good++
		} else if text := err.Error(); !slices.Contains(wrong, text) {
			wrong = append(wrong, text)
		}
	}
	detail := fmt.Sprintf("%d of %d answers are signed by the key", good, len(answers))
	if len(wrong) == 0 {
		return Check{name, OK, detail, ""}
	}
	state := Warning
	if good == 0 {
		state = Fault
	}
	return Check{name, state, detail + "; " + strings.Join(wrong, "; "), "give every leaf of the namespace the same secret (KINOPIO_NAMESPACE_SECRET), and hubs the key that kinopio-hub leaf key prints for it"}
}

// expiry is about the manifests, and the clocks, by which hashes of certificates count or not.
func (r *run) expiry(answers []*nats.Msg) Check {
	const name = "expiry"
	if len(answers) == 0 {
		return Check{name, Skipped, "there is no answer", ""}
	}
	for _, m := range answers {
		at, err := leaf.AnsweredAt(m, r.nonce, "")
		if err != nil {
			return Check{name, Fault, err.Error(), "somebody else than a leaf answers"}
		}
		manifest, err := manifestOf(m)
		if err != nil {
			return Check{name, Fault, err.Error(), "somebody else than a leaf answers"}
		}
		expires, err := time.Parse(time.RFC3339, manifest.ExpiresAt)
		switch off := time.Since(at); {
		case err != nil || expires.Before(at):
			return Check{name, Fault, fmt.Sprintf("the manifest of %s says that it expires at %q, and is of %s", manifest.NodeID, manifest.ExpiresAt, at.Format(time.RFC3339)), "somebody answers with an old manifest: see who may subscribe to " + leaf.FindSubject(r.Namespace)}
		case off.Abs() > skew:
			return Check{name, Warning, fmt.Sprintf("the clock of %s and this machine's are %v apart: certificates may count as too old or too new", manifest.NodeID, off.Abs().Round(time.Second)), "set both clocks"}
		}
	}
	return Check{name, OK, "manifests are fresh, and clocks agree", ""}
}

func (r *run) namespaces(names []*nats.Msg) Check {
	all := namesOf(names)
	others := slices.DeleteFunc(slices.Clone(all), func(one string) bool { return one == r.Namespace })
	switch {
	case len(all) == 0:
		return Check{"namespaces", Skipped, "no leaf says which namespace it is of", ""}
	case len(others) > 0:
		return Check{"namespaces", Warning, fmt.Sprintf("there are leaves of %q as well: hubs of one are not on leaves of the other", others), "give leaves and hubs that belong together the same name"}
	}
	return Check{"namespaces", OK, fmt.Sprintf("%q is the only one", r.Namespace), ""}
}

func manifestOf(m *nats.Msg) (*leaf.Manifest, error) {
	var manifest leaf.Manifest
	if err := json.Unmarshal(m.Data, &manifest); err != nil || manifest.WSSURL == "" {
		return nil, fmt.Errorf("an answer is no manifest of a leaf: %.100q", m.Data)
	}
	// Anybody in the account may have written it, and it is printed.
	if !printable(manifest.NodeID) {
		return nil, fmt.Errorf("an answer has no nodeId that a leaf can have: %.100q", manifest.NodeID)
	}
	return &manifest, nil
}

// printable tells whether a name is one that leaves can be given.
func printable(name string) bool {
	return name != "" && len(name) <= 128 && !strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar })
}

// namesOf are the namespaces of answers, each once.
func namesOf(answers []*nats.Msg) (names []string) {
	for _, m := range answers {
		var said struct{ DiscoveryNamespace string }
		if json.Unmarshal(m.Data, &said) == nil && printable(said.DiscoveryNamespace) {
			names = append(names, said.DiscoveryNamespace)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}
