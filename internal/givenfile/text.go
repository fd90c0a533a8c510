//go:build !js

package givenfile

import (
	"bytes"
	"encoding/binary"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// Text is what a text file says, in UTF-8: editors and shells of Windows write UTF-16, or a byte order mark that would
// become a part of a secret.
func Text(data []byte) ([]byte, error) {
	data, err := WithoutMark(data)
	if err == nil && (!utf8.Valid(data) || bytes.ContainsRune(data, 0)) {
		err = errors.New("is not text in UTF-8: save it as UTF-8")
	}
	if err != nil {
		return nil, err
	}
	return data, nil
}

// WithoutMark is data in UTF-8 if a byte order mark says that it is text, and data otherwise.
func WithoutMark(data []byte) ([]byte, error) {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case !IsUTF16(data):
		return bytes.TrimPrefix(data, []byte("\ufeff")), nil
	case data[0] == 0xfe:
		order = binary.BigEndian
	}
	data = data[2:]
	if len(data)%2 != 0 {
		return nil, errors.New("begins as UTF-16 and has half a character at its end: save it as UTF-8")
	}
	units := make([]uint16, len(data)/2)
	for i := range units {
		units[i] = order.Uint16(data[2*i:])
	}
	return []byte(string(utf16.Decode(units))), nil
}

// IsUTF16 tells whether data begins with a byte order mark of UTF-16.
func IsUTF16(data []byte) bool {
	return bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff})
}
