package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/tlsca"
)

func newCACommand(getenv env) *cobra.Command {
	cmd := group("ca", "Look after this machine's own CA", newCAPathCommand(getenv))
	cmd.Long = `Look after this machine's own CA.

Its root is made once and may sign only for private addresses, loopback, .local,
localhost, this machine's name and the names that were advertised when it was made.`
	return cmd
}

func newCAPathCommand(getenv env) *cobra.Command {
	var cacheDir string
	var names []string
	cmd := &cobra.Command{
		Use:   "path",
		Short: "Print the path of the root certificate, making it if it is not there",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cacheDir == "" {
				cacheDir = getenv("KINOPIO_LEAF_CACHE_DIR")
			}
			if cacheDir == "" {
				var err error
				if cacheDir, err = os.UserCacheDir(); err != nil {
					return &usageError{err: err, hint: "name a folder with --cache-dir"}
				}
			}
			ca, err := tlsca.Open(tlsca.Dir(cacheDir), tlsca.Options{Hostnames: names})
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), ca.RootFile())
			return err
		},
	}
	cmd.Flags().StringVar(&cacheDir, "cache-dir", "", "folder for the CA (default: $KINOPIO_LEAF_CACHE_DIR, else the user's cache)")
	cmd.Flags().StringArrayVar(&names, "advertised-hostname", nil, "name that the root must be good for; repeat for more")
	return cmd
}
