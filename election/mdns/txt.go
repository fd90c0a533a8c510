package mdns

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// leaseLayout is RFC 3339 in UTC with milliseconds, as in the manifest.
const leaseLayout = "2006-01-02T15:04:05.000Z"

// keys are those of Leaf's own fields, in the order of the record.
var keys = []string{"txtvers", "ns", "node", "host", "epoch", "lease", "wssp", "wsproto", "discproto", "rtt"}

// text returns the strings of the TXT record.
func (l Leaf) text() ([]string, error) {
	lease, rtt := "", ""
	if !l.Lease.IsZero() {
		lease = l.Lease.UTC().Format(leaseLayout)
	}
	if l.RTT != Unmeasured {
		rtt = strconv.Itoa(l.RTT)
	}
	values := []string{
		"1", l.Namespace, l.NodeID, l.Host, strconv.FormatInt(l.Epoch, 10), lease,
		strconv.Itoa(int(l.WebSocketPort)), l.WebSocketProtocol, l.DiscoveryProtocol, rtt,
	}
	var text []string
	add := func(key, value string) error {
		if n := len(key) + 1 + len(value); n > 255 {
			return fmt.Errorf("the TXT string %s= has %d bytes, want at most 255 with its key", key, n)
		}
		text = append(text, key+"="+value)
		return nil
	}
	for i, key := range keys {
		if err := add(key, values[i]); err != nil {
			return nil, err
		}
	}
	for _, key := range slices.Sorted(maps.Keys(l.Extra)) {
		if slices.Contains(keys, key) || key == "" || strings.ContainsFunc(key, func(r rune) bool {
			return r <= ' ' || r == '=' || r > '~' || r >= 'A' && r <= 'Z'
		}) {
			return nil, fmt.Errorf("field Extra has the key %q, want lower-case ASCII without = and blanks, and none of %s", key, strings.Join(keys, " "))
		}
		if err := add(key, l.Extra[key]); err != nil {
			return nil, err
		}
	}
	return text, nil
}

// readText fills in the fields that the TXT record has. Of a key that is there twice the first
// counts, keys have no case, and unknown ones go to Extra (RFC 6763, section 6.4).
func (l *Leaf) readText(text []string) error {
	values := map[string]string{}
	for _, s := range text {
		key, value, _ := strings.Cut(s, "=")
		key = strings.ToLower(key)
		if _, ok := values[key]; !ok && key != "" {
			values[key] = value
		}
	}
	if v, ok := values["txtvers"]; ok && v != "1" {
		return fmt.Errorf("txtvers is %q, want 1", v)
	}
	l.Namespace, l.NodeID, l.Host = values["ns"], values["node"], values["host"]
	l.WebSocketProtocol, l.DiscoveryProtocol = values["wsproto"], values["discproto"]
	l.Lease = readLease(values["lease"])
	epoch, err := strconv.ParseInt(values["epoch"], 10, 64)
	if err != nil || epoch < 0 {
		return fmt.Errorf("epoch is %q, want a number of at least 0", values["epoch"])
	}
	port, err := strconv.ParseUint(values["wssp"], 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("wssp is %q, want a port", values["wssp"])
	}
	rtt := int64(Unmeasured)
	if v := values["rtt"]; v != "" {
		if rtt, err = strconv.ParseInt(v, 10, 32); err != nil || rtt < 0 {
			return fmt.Errorf("rtt is %q, want whole milliseconds or nothing", v)
		}
	}
	l.Epoch, l.WebSocketPort, l.RTT = epoch, uint16(port), int(rtt)
	for _, key := range keys {
		delete(values, key)
	}
	if len(values) > 0 {
		l.Extra = values
	}
	return nil
}

// readLease returns the zero time for what it cannot read: a leaf without a lease is one.
func readLease(s string) time.Time {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t.UTC()
	}
	if ms, err := strconv.ParseInt(s, 10, 52); err == nil && ms > 0 {
		return time.UnixMilli(ms).UTC()
	}
	return time.Time{}
}

// escape and unescape translate between bytes and the form that miekg/dns gives strings.
func escape(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		if i+3 <= len(s) {
			if n, err := strconv.ParseUint(s[i:i+3], 10, 8); err == nil {
				b.WriteByte(byte(n))
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}
