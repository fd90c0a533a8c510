//go:build js

package plainjson

import (
	"errors"
	"fmt"
	"syscall/js"
)

// An object's fields are converted when they are asked for. The zero value has none.
type object struct{ value js.Value }

func parse(text []byte) (o object, err error) {
	defer func() {
		switch thrown := recover().(type) {
		case nil:
		case js.Error:
			err = fmt.Errorf("%w", thrown)
		default:
			panic(thrown)
		}
	}()
	value := js.Global().Get("JSON").Call("parse", string(text))
	if o, ok := plain(value).(object); ok {
		return o, nil
	}
	return object{}, errors.New("want an object")
}

func (o object) get(name string) any {
	if o.value.IsUndefined() {
		return nil
	}
	return plain(o.value.Get(name))
}

// plain is v as encoding/json would have it in an any; an object is one still.
func plain(v js.Value) any {
	switch v.Type() {
	case js.TypeString:
		return v.String()
	case js.TypeNumber:
		return v.Float()
	case js.TypeBoolean:
		return v.Bool()
	case js.TypeObject:
		if !js.Global().Get("Array").Call("isArray", v).Bool() {
			return object{v}
		}
		all := make([]any, v.Length())
		for i := range all {
			all[i] = plain(v.Index(i))
		}
		return all
	}
	return nil
}

func (o object) raw(name string) string { return stringify(o.value.Get(name)) }

// Quote returns s as a JSON string.
func Quote(s string) string { return stringify(s) }

func stringify(v any) string { return js.Global().Get("JSON").Call("stringify", v).String() }
