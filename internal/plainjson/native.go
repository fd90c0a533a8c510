//go:build !js

package plainjson

import (
	"encoding/json"
	"errors"
	"strings"
)

type object map[string]any

func parse(text []byte) (object, error) {
	var o object
	if err := json.Unmarshal(text, &o); err != nil {
		return nil, err
	}
	if o == nil {
		return nil, errors.New("want an object, not null")
	}
	return o, nil
}

func (o object) get(name string) any {
	if inside, ok := o[name].(map[string]any); ok {
		return object(inside)
	}
	return o[name]
}

func (o object) raw(name string) string {
	text, _ := json.Marshal(o[name]) // of what was JSON: cannot fail
	return string(text)
}

// Quote returns s as a JSON string.
func Quote(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // as JSON.stringify
	_ = e.Encode(s)        // of a string: cannot fail
	return strings.TrimSuffix(b.String(), "\n")
}
