package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

const (
	wideValue    = 100      // Characters: JSON that is longer is laid out in lines at a terminal.
	longValue    = 16 << 10 // Bytes: more than that is cut at a terminal.
	binaryValue  = 32       // Bytes of what is no text that are shown.
	continuation = "    "   // Before each further line of a value.
)

// showFlags say how messages are printed.
type showFlags struct {
	json, raw, headers bool
}

func (f *showFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON document a line")
	cmd.Flags().BoolVar(&f.raw, "raw", false, "print the bytes of the value, and nothing else")
}

func (f *showFlags) addHeaders(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().BoolVar(&f.headers, "headers", false, "print the headers, too (--json always has them)")
}

func (f *showFlags) check() error {
	if f.raw && (f.json || f.headers) {
		return &usageError{err: errors.New("--raw excludes --json and --headers"), hint: "give one of them"}
	}
	return nil
}

// A messageDocument is a message or a value as JSON. Of value and base64 there is one, unless exists is false.
type messageDocument struct {
	Subject string          `json:"subject"`
	Exists  *bool           `json:"exists,omitempty"` // Of get and watch.
	Value   json.RawMessage `json:"value,omitempty"`
	Base64  []byte          `json:"base64,omitempty"` // Of what is no UTF-8.
	Headers hub.Header      `json:"headers,omitempty"`
	Reply   string          `json:"reply,omitempty"`
	Time    time.Time       `json:"time"`
}

// show is m for f, in lines for people when terminal, else in one; colour is for terminals that have it.
func (f *showFlags) show(m *hub.Message, now time.Time, style style) []byte {
	switch {
	case f.raw:
		return rawFor(m.Data, style)
	case f.json:
		d := messageDocument{Subject: m.Subject, Headers: m.Header, Reply: m.Reply, Time: now.UTC()}
		d.Value, d.Base64 = jsonValue(m.Data)
		return jsonLine(d)
	}
	var b bytes.Buffer
	style.begin(&b, m.Subject, now)
	b.WriteString(valueText(m.Data, style.terminal))
	b.WriteByte('\n')
	if f.headers {
		writeHeaders(&b, m)
	}
	return b.Bytes()
}

func writeHeaders(b *bytes.Buffer, m *hub.Message) {
	names := make([]string, 0, len(m.Header))
	for name := range m.Header {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		for _, value := range m.Header[name] {
			fmt.Fprintf(b, "%s%s: %s\n", continuation, oneLine(name), oneLine(value))
		}
	}
	if m.Reply != "" {
		fmt.Fprintf(b, "%sreply to: %s\n", continuation, oneLine(m.Reply))
	}
}

// A style is what the output can do.
type style struct {
	terminal, colour bool
}

func styleOf(w io.Writer, getenv env) style {
	terminal := toTerminal(w)
	return style{terminal, terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"}
}

// begin writes what stands before a value.
func (s style) begin(b *bytes.Buffer, subject string, now time.Time) {
	switch subject = oneLine(subject); {
	case s.colour:
		fmt.Fprintf(b, "\x1b[2m%s\x1b[0m  \x1b[1m%s\x1b[0m  ", now.Format("15:04:05.000"), subject)
	case s.terminal:
		fmt.Fprintf(b, "%s  %s  ", now.Format("15:04:05.000"), subject)
	default:
		fmt.Fprintf(b, "%s  ", subject)
	}
}

// rawFor is data as it is; at a terminal what that would obey is not.
func rawFor(data []byte, s style) []byte {
	if !s.terminal {
		return data
	}
	return []byte(strings.TrimSuffix(plainLines(string(data)), "\n") + "\n")
}

// jsonValue is what data means: null if empty, else the JSON in it, else the text, else its bytes.
func jsonValue(data []byte) (value json.RawMessage, binary []byte) {
	switch {
	case len(data) == 0:
		return json.RawMessage("null"), nil
	case !utf8.Valid(data):
		return nil, data
	case json.Valid(data):
		return data, nil
	}
	text, _ := json.Marshal(string(data)) // A string has no error.
	return text, nil
}

// jsonLine is document in a line, in which nothing commands a terminal.
func jsonLine(document any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(document); err != nil { // Documents here have none.
		return []byte(fmt.Sprintf("{\"error\":%q}\n", err.Error()))
	}
	return append([]byte(escaped(strings.TrimSuffix(b.String(), "\n"))), '\n')
}

// escaped is JSON with escapes in place of what a terminal might obey, which stands in its strings only.
func escaped(text string) string {
	if !strings.ContainsFunc(text, unsafeRune) {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		switch {
		case !unsafeRune(r):
			b.WriteRune(r)
		case r > 0xffff:
			high, low := (r-0x10000)>>10+0xd800, (r-0x10000)&0x3ff+0xdc00
			fmt.Fprintf(&b, `\u%04x\u%04x`, high, low)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String()
}

func unsafeRune(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }

// oneLine is plain without ends of lines.
func oneLine(text string) string { return strings.ReplaceAll(plain(text), "\n", "\uFFFD") }

// plainLines is plain for text of several lines, of any system.
func plainLines(text string) string {
	return plain(strings.NewReplacer("\r\n", "\n", "\t", "    ").Replace(text))
}

// valueText is data for people: in several lines at a terminal if that is easier to read, else in one.
func valueText(data []byte, terminal bool) string {
	switch {
	case len(data) == 0:
		return "(empty)"
	case !utf8.Valid(data):
		more := ""
		if len(data) > binaryValue {
			more = "…"
		}
		return fmt.Sprintf("(%d bytes) %x%s", len(data), data[:min(len(data), binaryValue)], more)
	case json.Valid(data):
		return cut(jsonText(data, terminal), len(data), terminal)
	case terminal:
		text := strings.TrimSuffix(plainLines(string(data)), "\n")
		return cut(strings.ReplaceAll(text, "\n", "\n"+continuation), len(data), terminal)
	case strings.ContainsFunc(string(data), func(r rune) bool { return !unicode.IsGraphic(r) }):
		return strconv.Quote(string(data))
	}
	return string(data)
}

func jsonText(data []byte, terminal bool) string {
	var b bytes.Buffer
	if err := json.Compact(&b, data); err != nil {
		return strconv.Quote(string(data))
	}
	if structured := data[0] == '{' || data[0] == '['; terminal && structured && b.Len() > wideValue {
		lines := bytes.Clone(b.Bytes())
		b.Reset()
		if err := json.Indent(&b, lines, continuation, "  "); err != nil {
			return strconv.Quote(string(data))
		}
	}
	return escaped(b.String())
}

// cut keeps a terminal from being flooded.
func cut(text string, size int, terminal bool) string {
	if !terminal || len(text) <= longValue {
		return text
	}
	return strings.ToValidUTF8(text[:longValue], "") + fmt.Sprintf("…\n%s(%d bytes: --json or --raw prints all of it)", continuation, size)
}
