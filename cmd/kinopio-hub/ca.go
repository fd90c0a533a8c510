package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

func newCACommand(getenv env) *cobra.Command {
	cmd := group("ca", "Look after this machine's own CA",
		newCAPathCommand(getenv),
		newCAShowCommand(getenv),
		newCATrustCommand(getenv, caInstall),
		newCATrustCommand(getenv, caUninstall),
		newCATrustCommand(getenv, caStatus),
		newCAExportCommand(getenv),
	)
	cmd.Long = `Look after this machine's own CA.

Its root is made once and may sign only for servers, and only for private addresses,
loopback, .local, localhost, this machine's name and the names that were advertised when
it was made: not for sites on the internet, clients, e-mail or code. A root that has
ended, that was made by a wrong clock, or that may do more is replaced by a new one.
Browsers accept a leaf of this machine when they trust that root.`
	cmd.Example = `  kinopio-hub ca install
  kinopio-hub ca status
  kinopio-hub ca export --format mobileconfig --output leaf-ca.mobileconfig`
	return cmd
}

// caFlags say which CA is meant.
type caFlags struct {
	cacheDir string
	names    []string
}

func (f *caFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.cacheDir, "cache-dir", "", "folder for the CA (default: $KINOPIO_LEAF_CACHE_DIR, else the user's cache)")
	cmd.Flags().StringArrayVar(&f.names, "advertised-hostname", nil, "name that the root must be good for; repeat for more")
}

// open opens the CA, making it if it is not there.
func (f *caFlags) open(getenv env) (*tlsca.CA, error) {
	dir := f.cacheDir
	if dir == "" {
		dir = getenv("KINOPIO_LEAF_CACHE_DIR")
	}
	if dir == "" {
		var err error
		if dir, err = os.UserCacheDir(); err != nil {
			return nil, &usageError{err: err, hint: "name a folder with --cache-dir"}
		}
	}
	return tlsca.Open(tlsca.Dir(dir), tlsca.Options{Hostnames: f.names})
}

func newCAPathCommand(getenv env) *cobra.Command {
	var which caFlags
	cmd := &cobra.Command{
		Use:   "path",
		Short: "Print the path of the root certificate, making it if it is not there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := which.open(getenv)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ca.RootFile())
			return err
		},
	}
	which.add(cmd)
	return cmd
}
