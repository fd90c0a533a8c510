package natswire

import (
	"fmt"
	"strings"
)

const headerLine = "NATS/1.0"

// parseHeader reads the headers of a message. A status in the first line, such as "503", becomes
// the header Status, and what follows it Description, as in nats.go.
//
// Servers pass headers on as they are, so a publisher may send anything. An error says what is wrong;
// the headers are then those that could be read. Only whole line ends begin another header: a single
// CR or LF in a value, in a block whose lines end with CRLF, becomes a space.
func parseHeader(b []byte) (h map[string][]string, wrong error) {
	bad := func(what, line string) {
		if wrong == nil {
			wrong = fmt.Errorf("%s: %.40q", what, line)
		}
	}
	h = map[string][]string{}
	text, lineEnd := string(b), "\r\n"
	if i := strings.IndexByte(text, '\n'); i < 1 || text[i-1] != '\r' {
		if i >= 0 {
			lineEnd = "\n"
		}
		bad("a line that does not end with CRLF", text)
	}
	status, name := "", ""
	ended := false
	for first := true; text != "" && !ended; first = false {
		var line string
		line, text, _ = strings.Cut(text, lineEnd)
		if strings.ContainsAny(line, "\r\n") {
			bad("a single CR or LF in a line", line)
			line = strings.ReplaceAll(strings.ReplaceAll(line, "\r", " "), "\n", " ")
		}
		if first {
			if len(line) >= len(headerLine) && strings.EqualFold(line[:len(headerLine)], headerLine) {
				if status = strings.TrimSpace(line[len(headerLine):]); line[:len(headerLine)] != headerLine {
					bad("want "+headerLine+" first", line)
				}
				continue
			}
			bad("want "+headerLine+" first", line)
		}
		key, value, colon := strings.Cut(line, ":")
		switch {
		case line == "":
			ended = true
		case (line[0] == ' ' || line[0] == '\t') && name != "":
			bad("a line that continues another", line)
			values := h[name]
			values[len(values)-1] += " " + strings.TrimSpace(line)
		case !colon || key == "":
			bad("a line without a name and a colon", line)
		default:
			name = key
			h[name] = append(h[name], strings.TrimLeft(value, " \t"))
		}
	}
	if !ended || text != "" {
		bad("want one empty line, at the end", text)
	}
	if len(status) >= 3 {
		h["Status"] = append(h["Status"], status[:3])
		if description := strings.TrimSpace(status[3:]); description != "" {
			h["Description"] = append(h["Description"], description)
		}
	}
	return h, wrong
}
