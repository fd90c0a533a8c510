package hub

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Codec turns values into bytes and back. It is not asked about nil, []byte and string, which
// always travel as the empty payload, as they are and as UTF-8.
type Codec interface {
	Encode(value any) ([]byte, error)
	// Decode stores the value of data, which is not empty, in the value that into points to.
	Decode(data []byte, into any) error
}

type jsonCodec struct{}

// Encode writes the bytes that JSON.stringify writes: < > & stay as they are.
func (jsonCodec) Encode(value any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

func (jsonCodec) Decode(data []byte, into any) error { return json.Unmarshal(data, into) }

// codec is Codec, or JSON. It is not a default that stands in the configuration, so that a program
// which handles bytes only, as the module for pages does, does not link encoding/json.
func (c *Config) codec() Codec {
	if c.Codec == nil {
		return jsonCodec{}
	}
	return c.Codec
}

// encode gives the bytes of value; an error wraps ErrInvalidValue.
func (h *Hub) encode(value any) ([]byte, error) {
	switch v := value.(type) {
	case nil:
		return nil, nil
	case []byte:
		return v, nil
	case string:
		return []byte(v), nil
	}
	data, err := h.cfg.codec().Encode(value)
	if err != nil {
		return nil, fmt.Errorf("%w: %T: %w", ErrInvalidValue, value, err)
	}
	return data, nil
}

// decode gives the value of data: nil for nothing, what the codec reads, else text, else bytes.
func (h *Hub) decode(data []byte) any {
	if len(data) == 0 {
		return nil
	}
	var value any
	if err := h.cfg.codec().Decode(data, &value); err == nil {
		return value
	}
	if utf8.Valid(data) {
		return string(data)
	}
	return data
}

// decodeInto is decode for a typed target: *[]byte and *string take what is no JSON.
func decodeInto(codec Codec, data []byte, into any) error {
	switch target := into.(type) {
	case *[]byte:
		*target = append([]byte(nil), data...)
		return nil
	case *string:
		if err := codec.Decode(data, target); err != nil {
			*target = string(data)
		}
		return nil
	}
	if len(data) == 0 {
		return nil
	}
	if err := codec.Decode(data, into); err != nil {
		return fmt.Errorf("decode %d bytes into %T: %w", len(data), into, err)
	}
	return nil
}
