// Package plainjson reads and writes JSON objects whose fields are known, with the JSON that the
// platform has: encoding/json natively, and in a page that of JavaScript, so that it has no second
// one to download.
package plainjson

import (
	"fmt"
	"strconv"
)

// A Reader has the fields of an object. Getters return the zero value for a field that is missing
// or null, and for one of another type; [Reader.Err] tells of the first of those.
type Reader struct {
	object object
	name   string // "" or that of the object with a dot
	err    *error // one for the outermost object and all inside
}

// Read reads a text that is one object.
func Read(text []byte) (*Reader, error) {
	o, err := parse(text)
	if err != nil {
		return nil, err
	}
	return &Reader{object: o, err: new(error)}, nil
}

// Err says which field is of another type than it was asked for, and what would be right.
func (r *Reader) Err() error { return *r.err }

// Text returns a string.
func (r *Reader) Text(name string) string { return field[string](r, name, "a string") }

// Bool returns a boolean.
func (r *Reader) Bool(name string) bool { return field[bool](r, name, "true or false") }

// Number returns a number.
func (r *Reader) Number(name string) float64 { return field[float64](r, name, "a number") }

// Int returns a number that has to be whole, and within ±2⁵³.
func (r *Reader) Int(name string) int64 {
	f := r.Number(name)
	if n := int64(f); float64(n) == f && n <= 1<<53 && n >= -1<<53 {
		return n
	}
	r.wrong(name, "a whole number")
	return 0
}

// Texts returns an array of strings.
func (r *Reader) Texts(name string) []string {
	const want = "an array of strings"
	var texts []string
	for _, one := range field[[]any](r, name, want) {
		text, ok := one.(string)
		if !ok {
			r.wrong(name, want)
			return nil
		}
		texts = append(texts, text)
	}
	return texts
}

// Raw returns whatever a field is, as JSON; "" if it is missing or null.
func (r *Reader) Raw(name string) string {
	if !r.Has(name) {
		return ""
	}
	return r.object.raw(name)
}

// Object returns the fields of an object inside; none if there is none.
func (r *Reader) Object(name string) *Reader {
	return &Reader{object: field[object](r, name, "an object"), name: r.name + name + ".", err: r.err}
}

// Has tells whether a field is there and not null.
func (r *Reader) Has(name string) bool { return r.object.get(name) != nil }

func field[T any](r *Reader, name, want string) (value T) {
	switch got := r.object.get(name).(type) {
	case nil:
	case T:
		return got
	default:
		r.wrong(name, want)
	}
	return value
}

func (r *Reader) wrong(name, want string) {
	if *r.err == nil {
		*r.err = fmt.Errorf("%s%s: want %s", r.name, name, want)
	}
}

// A Writer makes an object, field after field. Its zero value is ready.
type Writer struct{ text []byte }

// Text adds a string.
func (w *Writer) Text(name, value string) *Writer { return w.Raw(name, Quote(value)) }

// Bool adds a boolean.
func (w *Writer) Bool(name string, value bool) *Writer { return w.Raw(name, strconv.FormatBool(value)) }

// Int adds a whole number.
func (w *Writer) Int(name string, value int64) *Writer {
	return w.Raw(name, strconv.FormatInt(value, 10))
}

// Number adds a number, which is finite.
func (w *Writer) Number(name string, value float64) *Writer {
	return w.Raw(name, strconv.FormatFloat(value, 'f', -1, 64))
}

// Raw adds what is JSON already. The name is written as it is: it has to be plain.
func (w *Writer) Raw(name, json string) *Writer {
	begin := byte(',')
	if len(w.text) == 0 {
		begin = '{'
	}
	w.text = append(append(append(w.text, begin, '"'), name...), '"', ':')
	w.text = append(w.text, json...)
	return w
}

// String returns the object.
func (w *Writer) String() string {
	if len(w.text) == 0 {
		return "{}"
	}
	return string(w.text) + "}"
}
