package main

import (
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// caDocument is what ca show prints with --json.
type caDocument struct {
	Subject      string    `json:"subject"`
	File         string    `json:"file"`
	Fingerprint  string    `json:"fingerprint"` // SHA-256, lower-case hexadecimal.
	NotBefore    time.Time `json:"notBefore"`
	NotAfter     time.Time `json:"notAfter"`
	PermittedDNS []string  `json:"permittedDns"`
	PermittedIPs []string  `json:"permittedIps"`
}

func newCAShowCommand(getenv env) *cobra.Command {
	var which caFlags
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print what the root is and what it may sign for",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := which.open(getenv)
			if err != nil {
				return err
			}
			root := ca.Root()
			d := caDocument{Subject: root.Subject.CommonName, File: ca.RootFile(), Fingerprint: ca.Fingerprint(),
				NotBefore: root.NotBefore, NotAfter: root.NotAfter, PermittedDNS: root.PermittedDNSDomains}
			for _, n := range root.PermittedIPRanges {
				d.PermittedIPs = append(d.PermittedIPs, n.String())
			}
			if asJSON {
				return json.NewEncoder(cmd.OutOrStdout()).Encode(d)
			}
			t := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 3, ' ', 0)
			for _, row := range [][2]string{
				{"root", d.Subject},
				{"file", d.File},
				{"sha-256", d.Fingerprint},
				{"valid", d.NotBefore.Format(time.DateOnly) + " to " + d.NotAfter.Format(time.DateOnly)},
				{"for", "servers only"},
				{"names", strings.Join(d.PermittedDNS, ", ") + ", and what is below them"},
				{"addresses", strings.Join(d.PermittedIPs, ", ")},
			} {
				fmt.Fprintf(t, "%s\t%s\n", row[0], row[1])
			}
			return t.Flush()
		},
	}
	which.add(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func newCAExportCommand(getenv env) *cobra.Command {
	var which caFlags
	var format, output string
	cmd := &cobra.Command{
		Use:   "export",
		Short: "Write the root certificate for another device",
		Long: `Write the root certificate, without its key, for another device.

pem is for most programs, der for Android and Windows, mobileconfig for iPhones,
iPads and Macs.`,
		Example: `  kinopio-hub ca export > root.pem
  kinopio-hub ca export --format mobileconfig --output leaf-ca.mobileconfig`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ca, err := which.open(getenv)
			if err != nil {
				return err
			}
			data, err := ca.Export(format)
			if err != nil {
				return &usageError{err: fmt.Errorf("--format %q: not a format", format),
					hint: "--format takes " + strings.Join(tlsca.Formats, ", ")}
			}
			if output == "" || output == "-" {
				_, err = cmd.OutOrStdout().Write(data)
				return err
			}
			if err := os.WriteFile(output, data, 0o644); err != nil {
				return fmt.Errorf("--output: %w", err)
			}
			return nil
		},
	}
	which.add(cmd)
	cmd.Flags().StringVar(&format, "format", "pem", strings.Join(tlsca.Formats, ", "))
	cmd.Flags().StringVarP(&output, "output", "o", "", "file to write (default: standard output)")
	return cmd
}
