package hub

import (
	"fmt"
	"strings"
	"unicode"
)

// checkName refuses what cannot be part of a subject: empty parts, white space and control
// characters, and the wildcards * and > unless allowed (for subscriptions).
func checkName(name string, wildcards bool) error {
	if plain(name) {
		return nil
	}
	if name == "" {
		return fmt.Errorf("%w: %q is empty", ErrInvalidName, name)
	}
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if part == "" {
			return fmt.Errorf("%w: %q has an empty part between its dots", ErrInvalidName, name)
		}
		if part == "*" || part == ">" {
			if !wildcards {
				return fmt.Errorf("%w: %q: the wildcard %q is for subscribing only", ErrInvalidName, name, part)
			}
			if part == ">" && i != len(parts)-1 {
				return fmt.Errorf("%w: %q: %q may only stand at the end", ErrInvalidName, name, part)
			}
			continue
		}
		for _, r := range part {
			if unicode.IsSpace(r) || unicode.IsControl(r) || r == '*' || r == '>' || r == unicode.ReplacementChar {
				return fmt.Errorf("%w: %q: the part %q has the character %q", ErrInvalidName, name, part, r)
			}
		}
	}
	return nil
}

// checkQueue refuses what cannot be the name of a queue group. It may have wildcards, as the
// subject has that a service on many subjects gets its name from; there they mean nothing.
func checkQueue(name string) error {
	parts := strings.Split(name, ".")
	for i, part := range parts {
		if part == "*" || part == ">" {
			parts[i] = "x"
		}
	}
	if err := checkName(strings.Join(parts, "."), false); err != nil {
		return fmt.Errorf("queue group %q: %w", name, err)
	}
	return nil
}

// plain is the quick way for what most names are: parts of printable ASCII.
func plain(name string) bool {
	dot := true // the character before was one, or there was none
	for i := range len(name) {
		switch c := name[i]; {
		case c == '.':
			if dot {
				return false
			}
			dot = true
		case c <= ' ' || c >= 0x7f || c == '*' || c == '>':
			return false
		default:
			dot = false
		}
	}
	return !dot
}

// matches says whether what is published on subject comes to who listens to pattern.
func matches(pattern, subject string) bool {
	for {
		p, restP, moreP := strings.Cut(pattern, ".")
		s, restS, moreS := strings.Cut(subject, ".")
		switch {
		case p == ">":
			return true
		case p != "*" && p != s, moreP != moreS:
			return false
		case !moreP:
			return true
		}
		pattern, subject = restP, restS
	}
}
