package main

import (
	"os/exec"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/cmd/kinopio-hub/demo"
)

// newDemoCommand is «kinopio-hub demo»: everything on this machine, with a page to look at.
func newDemoCommand(getenv env) *cobra.Command {
	var cfg demo.Config
	var open bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show a page moving between a remote server and the leaf on its LAN",
		Long: `Start a backbone server, a leaf, a few programs and a web page on this machine, all real,
and watch the page move to the leaf and back without losing a message. Runs until Ctrl-C.

With --guest other devices on the LAN open the page, too: their browsers find the leaf through their
session with the backbone, and trust nothing of this machine. By WebTransport they come where the page has
an https address, which --guest-url names: a tunnel or a web server of yours there hands it on.`,
		Example: `  kinopio-hub demo --open
  kinopio-hub demo --tls
  kinopio-hub demo --guest
  kinopio-hub demo --guest-url https://demo.example.com
  kinopio-hub demo --json --leaf-after 1s`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg.Out = cmd.OutOrStdout()
			if cfg.CacheDir == "" {
				cfg.CacheDir = getenv("KINOPIO_LEAF_CACHE_DIR")
			}
			if open {
				cfg.Opened = openBrowser
			}
			return demo.Run(cmd.Context(), cfg)
		},
	}
	flags := cmd.Flags()
	flags.IntVar(&cfg.Port, "port", 0, "port of the page (0: 8088, or any when that is taken)")
	flags.BoolVar(&open, "open", false, "open the page in the browser")
	flags.DurationVar(&cfg.LeafAfter, "leaf-after", 3*time.Second, "start the leaf after this time (negative: only on the page)")
	flags.BoolVar(&cfg.TLS, "tls", false, "give the leaf wss and https, with a certificate of this machine's own CA")
	flags.BoolVar(&cfg.Guest, "guest", false, "let devices on the LAN open the page, and print its address as a QR code")
	flags.StringVar(&cfg.GuestURL, "guest-url", "", "https address at which guests get the page, handed on to its port (includes --guest and --tls)")
	flags.StringVar(&cfg.LANBindAddress, "lan-bind-address", "", "this machine's address for guests (default: detected)")
	flags.IntVar(&cfg.Rate, "rate", 200, "numbered messages a second, of both publishers together")
	flags.StringVar(&cfg.CacheDir, "cache-dir", "", "folder of the local CA (default: $KINOPIO_LEAF_CACHE_DIR, else the user's cache)")
	flags.StringVar(&cfg.Assets, "assets", "", "folder with kinopio-hub.global.js and kinopio-hub.wasm (default: npm/dist beside the program's folder)")
	flags.BoolVar(&cfg.JSON, "json", false, "print one JSON document a line; the first has all addresses")
	flags.BoolVar(&cfg.JSON, "json-lines", false, "the same as --json")
	return cmd
}

// openBrowser shows page in the user's browser. Where there is none, the address is in the
// terminal anyway.
func openBrowser(page string) {
	var cmd *exec.Cmd
	switch runtime.GOOS {
	case "darwin":
		cmd = exec.Command("open", page)
	case "windows":
		cmd = exec.Command("rundll32", "url.dll,FileProtocolHandler", page)
	default:
		cmd = exec.Command("xdg-open", page)
	}
	if cmd.Start() == nil {
		go func() { _ = cmd.Wait() }() // nothing depends on how it ended
	}
}
