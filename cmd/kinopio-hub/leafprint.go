package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// leafOutput prints what a leaf reports. Its method is called one call at a time.
type leafOutput struct {
	w         io.Writer
	json      bool   // One document, then nothing.
	jsonLines bool   // One document for each change.
	caFlags   string // What a command about this leaf's CA needs, with a blank before it.

	last  leaf.Status
	begun bool
}

// changed is told each status, the first included. Errors of w are not reported: with
// the reader gone there is nobody to tell.
func (o *leafOutput) changed(s leaf.Status) {
	first, last := !o.begun, o.last
	o.begun, o.last = true, s
	switch {
	case o.jsonLines, o.json && first:
		_ = json.NewEncoder(o.w).Encode(s)
	case o.json:
	case first:
		o.overview(s)
	default:
		for _, line := range differences(last, s) {
			fmt.Fprintf(o.w, "%s  %s\n", time.Now().Format(time.TimeOnly), plain(line))
		}
	}
}

func (o *leafOutput) overview(s leaf.Status) {
	fmt.Fprintf(o.w, "leaf of %q is %s\n\n", s.DiscoveryNamespace, s.Phase)
	t := tabwriter.NewWriter(o.w, 0, 0, 3, ' ', 0)
	row := func(name, value string) { fmt.Fprintf(t, "  %s\t%s\n", name, plain(value)) }
	row("websocket", s.WSSURL)
	row("manifest", s.DiscoveryURL)
	row("clients", s.ClientURL+"  (this machine only)")
	row("monitor", s.MonitorURL+"  (this machine only)")
	row("backbone", bridgeText(s))
	row("tls", tlsText(s.TLS))
	if s.TLS.Mode == leaf.TLSGenerated {
		row("trust", string(s.TLS.Trust.State))
	}
	row("access", accessText(s.Access))
	if s.Keeper != nil {
		row("keeps", keeperText(s.Keeper))
	}
	row("log", s.LogFile)
	t.Flush()
	if s.Access.OpenToLAN {
		fmt.Fprintln(o.w, "\nwarning: anybody on the LAN may read and write here.\n  next: --access-token-file, --access-users-file or --access-nkey closes it; --allowed-origin names whose pages may come in")
	}
	if trust := s.TLS.Trust; trust.RequiresUserAction {
		fmt.Fprintf(o.w, "\nBrowsers refuse this leaf until they trust\n  %s\n", s.TLS.CACertFile)
		fmt.Fprintf(o.w, "  why:  %s\n  next: kinopio-hub ca install%s; on other devices: kinopio-hub ca export --help\n", trust.Detail, o.caFlags)
	}
	fmt.Fprintln(o.w, "\nCtrl-C ends it.")
}

// caFlagsFor is what a command about the CA in a folder needs, to be pasted into a shell.
func caFlagsFor(cacheDir string) string {
	switch {
	case cacheDir == "":
		return ""
	case strings.ContainsAny(cacheDir, " \t'()&;|<>*?"):
		return ` --cache-dir "` + cacheDir + `"`
	}
	return " --cache-dir " + cacheDir
}

func bridgeText(s leaf.Status) string {
	if len(s.BackboneServers) == 0 {
		return "none: this leaf stands alone"
	}
	return fmt.Sprintf("%s: %s", strings.Join(s.BackboneServers, ", "), s.BridgeState)
}

func tlsText(t leaf.TLSStatus) string {
	if t.Mode == leaf.TLSOff || t.NotAfter == nil {
		return "off"
	}
	from := "your certificate " + t.CertFile
	if t.Mode == leaf.TLSGenerated {
		from = "certificate of this machine's own CA"
	}
	return fmt.Sprintf("%s, until %s", from, t.NotAfter.Format(time.DateOnly))
}

func keeperText(k *leaf.KeeperStatus) string {
	where := "in memory"
	if k.Dir != "" {
		where = "in " + k.Dir
	}
	return fmt.Sprintf("%d values of %s, %s", k.Values, strings.Join(k.Patterns, ", "), where)
}

func accessText(a leaf.AccessStatus) string {
	text := a.Mode
	if len(a.AllowedOrigins) > 0 {
		text += ", pages of " + strings.Join(a.AllowedOrigins, ", ")
	}
	return text
}

// differences says in words what has changed.
func differences(old, now leaf.Status) (lines []string) {
	if now.Phase != old.Phase {
		line := "leaf " + string(now.Phase)
		switch now.Phase {
		case leaf.PhaseStopping:
			line += ": clients may leave"
		case leaf.PhaseRestarting:
			line += ": " + now.LastError
		}
		lines = append(lines, line)
	}
	if now.Phase != leaf.PhaseRunning {
		return lines
	}
	if now.WSSURL != old.WSSURL {
		lines = append(lines, "websocket "+now.WSSURL, "manifest "+now.DiscoveryURL)
	}
	if now.TLS.Fingerprint != old.TLS.Fingerprint && now.TLS.NotAfter != nil {
		lines = append(lines, "new certificate, until "+now.TLS.NotAfter.Format(time.DateOnly))
	}
	if now.Access.MaxPayload != old.Access.MaxPayload {
		lines = append(lines, fmt.Sprintf("largest message %d bytes, as at the backbone", now.Access.MaxPayload))
	}
	if now.Keeper != nil && old.Keeper != nil && now.Keeper.LastError != old.Keeper.LastError {
		line := "values are stored again"
		if now.Keeper.LastError != "" {
			line = "values are kept in memory only: " + now.Keeper.LastError
		}
		lines = append(lines, line)
	}
	if now.BridgeState != old.BridgeState {
		line := "bridge " + string(now.BridgeState)
		if now.BridgeState != leaf.BridgeConnected && now.LastBridgeError != "" {
			line += ": " + now.LastBridgeError
		}
		lines = append(lines, line)
	} else if now.LastBridgeError != old.LastBridgeError {
		lines = append(lines, "bridge "+string(now.BridgeState)+": "+now.LastBridgeError)
	}
	if now.Connections != old.Connections {
		lines = append(lines, fmt.Sprintf("connections %d", now.Connections))
	}
	if now.LastError != old.LastError {
		lines = append(lines, "server: "+now.LastError)
	}
	return lines
}
