package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"strings"
)

// revive makes the value that a scenario means. Objects with one key that begins with $ stand
// for what JSON lacks; i is the number of the repetition.
func revive(raw json.RawMessage, i int) any {
	if raw == nil {
		return nil
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return err // comes from a decoder: cannot be
	}
	m, ok := v.(map[string]any)
	if !ok || len(m) != 1 {
		return v
	}
	for key, arg := range m {
		switch key {
		case "$bytes":
			var b struct {
				Bytes []byte `json:"$bytes"`
			}
			_ = json.Unmarshal(raw, &b)
			return b.Bytes
		case "$nothing":
			return nil
		case "$function":
			return func() {}
		case "$cycle":
			cycle := map[string]any{}
			cycle["self"] = cycle
			return cycle
		case "$i":
			return float64(i)
		case "$repeat":
			of := arg.([]any)
			return strings.Repeat(of[0].(string), int(of[1].(float64)))
		}
	}
	return v
}

func bytesOf(text *string, base64 []byte) []byte {
	if text != nil {
		return []byte(*text)
	}
	return base64
}

// same compares a value that came with one that a scenario means.
func same(got any, want json.RawMessage, i int) error {
	w := revive(want, i)
	if b, ok := w.([]byte); ok {
		if g, ok := got.([]byte); ok && bytes.Equal(g, b) {
			return nil
		}
	} else if reflect.DeepEqual(got, w) {
		return nil
	}
	return fmt.Errorf("got %s, want %s", display(got), display(w))
}

func display(v any) string {
	if b, ok := v.([]byte); ok {
		return fmt.Sprintf("bytes %x", b)
	}
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	if len(text) > 200 {
		return fmt.Sprintf("%s… (%d characters)", text[:200], len(text))
	}
	return string(text)
}

// numberOnWire is a message's number as plain clients see it.
var numberOnWire = regexp.MustCompile(`^[0-9A-Za-z]{8,11}\.[0-9A-Za-z]{1,11}$`)

// versionOnWire is a version as plain clients see it: the counter, the writer, and whether it is a deletion or said again.
var versionOnWire = regexp.MustCompile(`^([1-9a-f][0-9a-f]*)\.[0-9A-Za-z]{7}(-?\+?)$`)

// matches compares a message with what a scenario says about it.
func (m wireMessage) matches(r record) error {
	if m.Value != nil {
		if err := same(r.value, m.Value, 0); err != nil {
			return fmt.Errorf("value: %w", err)
		}
	}
	if m.Subject != nil && *m.Subject != r.subject {
		return fmt.Errorf("subject: got %q, want %q", r.subject, *m.Subject)
	}
	if m.Reply != nil && *m.Reply != r.reply {
		return fmt.Errorf("reply: got %q, want %q", r.reply, *m.Reply)
	}
	if m.Number != nil {
		number := r.headers["Kseq"]
		if len(number) != 1 || !numberOnWire.MatchString(number[0]) || !strings.HasSuffix(number[0], "."+*m.Number) {
			return fmt.Errorf("number: got Kseq %q, want that of message %s of its stream", number, *m.Number)
		}
		r.headers = maps.Clone(r.headers)
		delete(r.headers, "Kseq") // said something about
	}
	if m.Version != nil {
		version := r.headers["Kset"]
		if len(version) != 1 || !versionOnWire.MatchString(version[0]) || versionOnWire.ReplaceAllString(version[0], "$1$2") != *m.Version {
			return fmt.Errorf("version: got Kset %q, want version %s", version, *m.Version)
		}
		r.headers = maps.Clone(r.headers)
		delete(r.headers, "Kset")
	}
	if m.Headers != nil && !(len(r.headers) == 0 && len(*m.Headers) == 0) && !reflect.DeepEqual(map[string][]string(r.headers), *m.Headers) {
		return fmt.Errorf("headers: got %s, want %s", display(r.headers), display(*m.Headers))
	}
	if (m.Text != nil || m.Base64 != nil) && !bytes.Equal(r.bytes, bytesOf(m.Text, m.Base64)) {
		return fmt.Errorf("bytes: got %q, want %q", r.bytes, bytesOf(m.Text, m.Base64))
	}
	return nil
}
