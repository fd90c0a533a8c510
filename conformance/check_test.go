package conformance

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// check compares what came of an operation with what its step wants.
func (s step) check(o outcome) error {
	if least := time.Duration(s.NotBefore) * time.Millisecond; o.took < least*9/10 {
		return fmt.Errorf("took %v, want at least %v", o.took, least)
	}
	if s.Fails == "" && o.err != nil {
		return fmt.Errorf("failed: %s: %w", hub.Code(o.err), o.err)
	}
	if s.Fails != "" {
		return s.checkError(o.err)
	}
	if s.Gives != nil {
		if err := same(o.value, s.Gives, 0); err != nil {
			return err
		}
	}
	if s.GivesAll != nil {
		return s.checkMany(o.many)
	}
	if s.Message != nil {
		if o.wire == nil {
			return errors.New("gave no message")
		}
		return s.Message.matches(*o.wire)
	}
	return nil
}

func (s step) checkError(err error) error {
	if err == nil {
		return fmt.Errorf("succeeded, want it to fail with %s", s.Fails)
	}
	if code := hub.Code(err); code != s.Fails {
		return fmt.Errorf("failed with %s (%w), want %s", code, err, s.Fails)
	}
	naming := s.Naming
	if s.NamingOption != "" {
		name, rest, _ := strings.Cut(s.NamingOption, "[")
		if field := optionTable[name].field; rest == "" {
			naming = append(naming, field)
		} else {
			naming = append(naming, field+"["+rest)
		}
	}
	for _, text := range naming {
		if !strings.Contains(err.Error(), text) {
			return fmt.Errorf("failed with %q, want it to name %q", err, text)
		}
	}
	for _, text := range s.NotNaming {
		if strings.Contains(err.Error(), text) {
			return fmt.Errorf("failed with %q, want it not to name %q", err, text)
		}
	}
	if s.Service == nil {
		return nil
	}
	e, ok := errors.AsType[*hub.ServiceError](err)
	if !ok {
		return fmt.Errorf("failed with %T, want a *hub.ServiceError", err)
	}
	var got any
	if len(e.Data) > 0 {
		if json.Unmarshal(e.Data, &got) != nil {
			got = string(e.Data)
		}
	}
	if e.Message != s.Service.Message || e.Code != s.Service.Code {
		return fmt.Errorf("service error %q with code %q, want %q with %q", e.Message, e.Code, s.Service.Message, s.Service.Code)
	}
	if s.Service.Data != nil {
		return same(got, s.Service.Data, 0)
	}
	return nil
}

// checkMany compares values, in order or not.
func (s step) checkMany(got []any) error {
	b := newBox()
	for _, v := range got {
		b.put(record{value: v})
	}
	if len(got) != len(s.GivesAll) {
		return fmt.Errorf("got %d answers: %s, want %d", len(got), list(b.left()), len(s.GivesAll))
	}
	if len(got) == 0 {
		return nil
	}
	return b.gets(ended, step{Values: s.GivesAll, AnyOrder: s.AnyOrder})
}
