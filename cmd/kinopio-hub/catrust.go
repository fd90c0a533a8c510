package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// A command about trust stores has this long; somebody may have to find a password.
const trustPatience = 2 * time.Minute

// A caAction is one of the three commands about trust stores.
type caAction struct {
	use, short, long string
	do               func(ca *tlsca.CA, ctx context.Context, o tlsca.TrustOptions) tlsca.TrustStatus
	edits            bool
	wants            tlsca.TrustState // Of every store, for exit code 0; empty: whatever it is.
	next             string           // What to do when all went well.
	otherwise        string           // The hint when not.
}

var (
	caInstall = caAction{
		use:   "install",
		short: "Make this machine's browsers and programs trust the leaf",
		long: `Make this machine's browsers and programs trust the leaf.

The root goes into the databases of Chromium and Firefox and the system's bundle on
Linux, into the keychain on macOS, and among the user's roots on Windows. Each store
is asked afterwards whether it has the root. The system's own store may need a
password; without a terminal nobody is asked.`,
		do: (*tlsca.CA).InstallTrust, edits: true, wants: tlsca.TrustInstalled,
		next:      "Browsers that are running see it after a restart.",
		otherwise: "the lines above say what each store lacks; --store leaves others out",
	}
	caUninstall = caAction{
		use:   "uninstall",
		short: "Take the root out of the trust stores of this machine",
		long: `Take the root out of the trust stores of this machine. A leaf that starts later does
not put it back; kinopio-hub ca install does.`,
		do: (*tlsca.CA).RemoveTrust, edits: true, wants: tlsca.TrustSkipped,
		otherwise: "the lines above say which store still has the root, and why",
	}
	caStatus = caAction{
		use: "status", short: "Look whether the trust stores of this machine have the root",
		do: (*tlsca.CA).CheckTrust,
	}
)

// stores that --store can name.
var storeKinds = map[string][]string{
	"all":    nil,
	"user":   {"nss", "keychain", "windows-root"},
	"system": {"system"},
}

func newCATrustCommand(getenv env, action caAction) *cobra.Command {
	var which caFlags
	var store string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   action.use,
		Short: action.short,
		Long:  action.long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			kinds, ok := storeKinds[store]
			if !ok {
				return &usageError{err: fmt.Errorf("--store %q: not a kind of store", store), hint: "--store takes all, user or system"}
			}
			if action.edits && getenv.skipTrustInstall() {
				return &usageError{err: errors.New("KINOPIO_SKIP_CA_TRUST_INSTALL is set: no trust store is changed"),
					hint: "unset it, or set it to 0, for this command"}
			}
			ca, err := which.open(getenv)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), trustPatience)
			defer cancel()
			status := action.do(ca, ctx, tlsca.TrustOptions{
				Machine: getenv.machine(action.edits && !asJSON && isTerminal(os.Stdin) && isTerminal(os.Stderr)),
				Kinds:   kinds,
			})
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(status)
			} else {
				err = printTrust(cmd.OutOrStdout(), ca, status)
			}
			if err != nil {
				return err
			}
			for _, s := range status.Stores {
				if action.wants != "" && s.State != action.wants {
					return &incompleteError{action: action, store: s}
				}
			}
			if action.wants == tlsca.TrustInstalled && len(status.Stores) == 0 {
				return &incompleteError{action: action, store: tlsca.StoreStatus{Name: "this machine", Detail: "no trust store was found"}}
			}
			if action.next != "" && !asJSON {
				fmt.Fprintln(cmd.OutOrStdout(), action.next)
			}
			return nil
		},
	}
	which.add(cmd)
	cmd.Flags().StringVar(&store, "store", "all", "all, user (browsers) or system (OpenSSL, curl; Linux)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document, and ask nobody")
	return cmd
}

// incompleteError is a store that is not as the command was to make it.
type incompleteError struct {
	action caAction
	store  tlsca.StoreStatus
}

func (e *incompleteError) Error() string {
	return fmt.Sprintf("ca %s: %s: %s", e.action.use, e.store.Name, e.store.Detail)
}
func (e *incompleteError) Hint() string { return e.action.otherwise }

func printTrust(w io.Writer, ca *tlsca.CA, s tlsca.TrustStatus) error {
	fmt.Fprintf(w, "%s, sha-256 %s…\n\n", ca.Root().Subject.CommonName, ca.Fingerprint()[:16])
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, store := range s.Stores {
		state := string(store.State)
		if store.State == tlsca.TrustSkipped {
			state = "absent"
		}
		detail := store.Detail
		if store.State != tlsca.TrustFailed && detail == "not installed" {
			detail = ""
		}
		fmt.Fprintf(t, "  %s\t%s\t%s\n", state, store.Name, detail)
	}
	if len(s.Stores) == 0 {
		fmt.Fprintf(t, "  %s\n", s.Detail)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w)
	return err
}

// machine is this one, with what the environment says of it.
func (e env) machine(prompt bool) tlsca.Machine {
	return tlsca.Machine{
		ConfigHome: e("XDG_CONFIG_HOME"),
		DataHome:   e("XDG_DATA_HOME"),
		Prompt:     prompt,
		Elevate:    true,
	}
}

// isTerminal reports whether somebody may be sitting there.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !isNull(info)
}

// isNull: /dev/null is a character device, too.
func isNull(info os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(info, null)
}
