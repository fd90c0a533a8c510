package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// newLeafKeyCommand prints what pages carry to know the leaves of a namespace by.
func newLeafKeyCommand(getenv env) *cobra.Command {
	var flags leafFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "key --discovery-namespace NAME",
		Short: "Print the public key that the leaves of a namespace sign by",
		Long: `Print the public key that the leaves of a namespace sign by.

It is made from the namespace's name and its secret, and no secret itself: pages and programs
carry it as discovery.namespaceKey, and then believe leaves that know the secret, and nobody else.`,
		Example: `  kinopio-hub leaf key --discovery-namespace studio --namespace-secret-file secret.txt
  KINOPIO_NAMESPACE_SECRET=… kinopio-hub leaf key --discovery-namespace studio`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			namespace := flags.config.DiscoveryNamespace
			if namespace == "" {
				return &usageError{err: errors.New("--discovery-namespace is missing"),
					hint: "name the system whose key it is: kinopio-hub leaf key --discovery-namespace studio"}
			}
			secret, err := flags.secret(getenv)
			if err != nil {
				return err
			}
			if secret == "" {
				return &usageError{err: errors.New("the namespace's secret is missing"),
					hint: "give the one that its leaves know, by --namespace-secret-file FILE or in $KINOPIO_NAMESPACE_SECRET"}
			}
			key, err := leaf.NamespaceKey(secret, namespace)
			if err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(struct {
					DiscoveryNamespace string `json:"discoveryNamespace"`
					NamespaceKey       string `json:"namespaceKey"`
				}{namespace, key})
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), key)
			return err
		},
	}
	cmd.Flags().StringVar(&flags.config.DiscoveryNamespace, "discovery-namespace", "", "name that the nodes of one system share (required)")
	flags.addSecret(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
