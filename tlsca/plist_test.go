package tlsca

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"
)

// plistHas reads a property list as XML, and looks for a string and for data in it.
func plistHas(t *testing.T, plist []byte, text string, data []byte) bool {
	t.Helper()
	var hasText, hasData bool
	d := xml.NewDecoder(bytes.NewReader(plist))
	var element string
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return hasText && hasData
		}
		if err != nil {
			t.Fatalf("not XML: %v", err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			element = token.Name.Local
		case xml.CharData:
			value := strings.TrimSpace(string(token))
			hasText = hasText || (element == "string" && value == text)
			if element == "data" && value != "" {
				got, err := base64.StdEncoding.DecodeString(value)
				hasData = hasData || (err == nil && bytes.Equal(got, data))
			}
		}
	}
}
