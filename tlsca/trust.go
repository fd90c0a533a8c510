package tlsca

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime"
	"strings"
	"sync"
)

// TrustState says how it stands with the programs of this machine.
type TrustState string

const (
	TrustInstalled TrustState = "installed" // Seen in every store that a browser reads.
	TrustSkipped   TrustState = "skipped"   // Not done, for a reason that is no failure.
	TrustFailed    TrustState = "failed"
	TrustExternal  TrustState = "external" // Not ours to install: the caller's certificate.
)

// TrustStatus says whether the root is in this machine's trust stores. Its JSON form
// is part of what the CLI prints.
type TrustStatus struct {
	State              TrustState    `json:"state"`
	Platform           string        `json:"platform"` // As runtime.GOOS.
	Strategy           string        `json:"strategy"` // The kinds of stores, such as nss+system; "none" if not at all.
	Detail             string        `json:"detail"`   // A sentence for people.
	Attempted          bool          `json:"attempted"`
	RequiresUserAction bool          `json:"requiresUserAction"`
	Stores             []StoreStatus `json:"stores,omitempty"`
}

// StoreStatus is how it stands with one store.
type StoreStatus struct {
	Kind   string     `json:"kind"`
	Name   string     `json:"name"`
	State  TrustState `json:"state"`
	Detail string     `json:"detail,omitempty"`

	browsers  bool
	attempted bool
}

// TrustOptions of [CA.InstallTrust] and its siblings. The zero value asks nobody and
// edits what this user may edit.
type TrustOptions struct {
	// Machine is where stores are looked for, and what is allowed there.
	Machine Machine
	// Stores, if not nil, are used instead of those of Machine.
	Stores []Store
	// Kinds, if not empty, are the kinds of stores to look at (nss, system, keychain,
	// windows-root).
	Kinds []string
	// Automatic is for a program that installs beside its work, rather than because a
	// person asked for it now: stores of the whole machine are left alone, what was
	// removed by [CA.RemoveTrust] stays so, and what has once failed after asking a
	// person is not asked again.
	Automatic bool
	// Logger hears of each store that was changed. nil is silent.
	Logger *slog.Logger
}

func (o TrustOptions) normalize() (TrustOptions, []Store) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Machine = o.Machine.normalize()
	stores := o.Stores
	if stores == nil {
		stores = o.Machine.Stores()
	}
	if len(o.Kinds) > 0 {
		var some []Store
		for _, s := range stores {
			for _, kind := range o.Kinds {
				if s.Info().Kind == kind {
					some = append(some, s)
				}
			}
		}
		stores = some
	}
	return o, stores
}

// InstallTrust puts the root into the trust stores that lack it, and looks afterwards
// whether it is there. ctx bounds all of it: what is not done then counts as failed.
func (ca *CA) InstallTrust(ctx context.Context, o TrustOptions) TrustStatus {
	o, stores := o.normalize()
	memory := ca.recall()
	install := func(s Store) StoreStatus {
		in, status := look(ctx, s, ca.Anchor())
		switch {
		case in || status.State == TrustFailed:
			return status
		case o.Automatic && s.Info().Shared:
			status.Detail = "shared by all users: left to «ca install»"
			return status
		case o.Automatic && memory.Removed:
			status.Detail = "it was taken out by «ca uninstall»"
			return status
		case o.Automatic && memory.declined(s):
			status.Detail = "it was asked for once, and not granted"
			return status
		}
		return change(ctx, s, ca.Anchor(), true)
	}
	all := each(stores, install)
	ca.retire(ctx, o, stores)
	next := memory
	next.Removed = memory.Removed && o.Automatic
	for i, s := range all {
		if s.State == TrustFailed && s.attempted && stores[i].Info().Asks {
			next.decline(stores[i])
		}
		if s.attempted {
			o.Logger.Info("trust store", "store", s.Name, "state", s.State, "detail", s.Detail)
		}
	}
	ca.remember(memory, next, o.Logger)
	return summary(o.Machine.OS, all)
}

// RemoveTrust takes the root out of every store that has it, and remembers that it
// was not wanted. In the result, skipped is what a store without the root is.
func (ca *CA) RemoveTrust(ctx context.Context, o TrustOptions) TrustStatus {
	o, stores := o.normalize()
	all := each(stores, func(s Store) StoreStatus {
		in, status := look(ctx, s, ca.Anchor())
		if !in {
			return status
		}
		return change(ctx, s, ca.Anchor(), false)
	})
	ca.retire(ctx, o, stores)
	memory := ca.recall()
	next := memory
	next.Removed, next.Declined = true, nil
	ca.remember(memory, next, o.Logger)
	return summary(o.Machine.OS, all)
}

// CheckTrust looks into the stores and changes nothing.
func (ca *CA) CheckTrust(ctx context.Context, o TrustOptions) TrustStatus {
	o, stores := o.normalize()
	all := each(stores, func(s Store) StoreStatus {
		_, status := look(ctx, s, ca.Anchor())
		return status
	})
	return summary(o.Machine.OS, all)
}

// each asks all stores at once, as most of the time goes by in other programs.
func each(stores []Store, do func(Store) StoreStatus) []StoreStatus {
	out := make([]StoreStatus, len(stores))
	var wg sync.WaitGroup
	for i, s := range stores {
		wg.Go(func() { out[i] = do(s) })
	}
	wg.Wait()
	return out
}

// look asks a store whether it has the anchor: the status is installed, skipped or failed.
func look(ctx context.Context, s Store, a Anchor) (bool, StoreStatus) {
	info := s.Info()
	status := StoreStatus{Kind: info.Kind, Name: info.Name, State: TrustSkipped, Detail: "not installed", browsers: info.Browsers}
	in, err := s.Contains(ctx, a)
	switch {
	case err != nil:
		status.State, status.Detail = TrustFailed, err.Error()
	case in:
		status.State, status.Detail = TrustInstalled, ""
	}
	return in, status
}

// change puts the anchor in, or takes it out, and looks whether that has happened.
func change(ctx context.Context, s Store, a Anchor, wanted bool) StoreStatus {
	do, undone := s.Install, "the store was told to take the root, and does not have it"
	if !wanted {
		do, undone = s.Remove, "the store was told to give the root up, and still has it"
	}
	err := do(ctx, a)
	in, status := look(ctx, s, a)
	status.attempted = true
	switch {
	case status.State == TrustFailed || in == wanted:
	case errors.Is(err, ErrNeedsRights), errors.Is(err, ErrNeedsPerson), errors.Is(err, fs.ErrPermission):
		status.Detail, status.attempted = err.Error(), false
		if in {
			status.State = TrustFailed // It was to go.
		}
	case err != nil:
		status.State, status.Detail = TrustFailed, err.Error()
	default:
		status.State, status.Detail = TrustFailed, undone
	}
	return status
}

// summary is what all stores come to. Those that browsers read decide, if there are any.
func summary(platform string, all []StoreStatus) TrustStatus {
	if platform == "" {
		platform = runtime.GOOS
	}
	t := TrustStatus{State: TrustInstalled, Platform: platform, Strategy: "none", Stores: all}
	if len(all) == 0 {
		t.State, t.Detail, t.RequiresUserAction = TrustSkipped, "no trust store was found on this machine", true
		return t
	}
	forBrowsers := false
	for _, s := range all {
		forBrowsers = forBrowsers || s.browsers
	}
	var kinds, details []string
	for _, s := range all {
		if !strings.Contains(strings.Join(kinds, "+"), s.Kind) {
			kinds = append(kinds, s.Kind)
		}
		detail := string(s.State)
		if s.Detail != "" && s.Detail != detail {
			detail = s.Detail
		}
		details = append(details, fmt.Sprintf("%s: %s", s.Name, detail))
		t.Attempted = t.Attempted || s.attempted
		if s.browsers != forBrowsers {
			continue
		}
		if s.State == TrustFailed || (s.State == TrustSkipped && t.State == TrustInstalled) {
			t.State = s.State
		}
	}
	t.Strategy, t.Detail = strings.Join(kinds, "+"), strings.Join(details, "; ")
	t.RequiresUserAction = t.State != TrustInstalled
	return t
}
