package engine

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// systemRoots is the file from which GnuTLS, which WebKitGTK uses, reads on Debian whom the system trusts.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// trusting runs what follows its first argument in a mount namespace of its own, where that argument is
// the file of the system's roots. The machine's own file stays as it is.
const trusting = `mount --make-rprivate / && mount --bind "$1" ` + systemRoots + ` && shift && exec "$@"`

// webkit is a MiniBrowser on a display of its own.
type webkit struct {
	*webdriver
	driver, display *program
	version         string
}

func openWebKit(ctx context.Context, o Options) (_ Page, err error) {
	k := &webkit{}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open MiniBrowser (Debian: apt-get install webkit2gtk-driver xvfb): %w", errors.Join(err, k.stop()))
		}
	}()
	browser, err := findMiniBrowser()
	if err != nil {
		return nil, err
	}
	driver, err := find("WebKitWebDriver")
	if err != nil {
		return nil, err
	}
	server, err := find("Xvfb")
	if err != nil {
		return nil, err
	}
	hear, found := once(func(line string) string {
		if strings.Trim(line, "0123456789") == "" {
			return line
		}
		return ""
	})
	if k.display, err = start(nil, hear, server, "-displayfd", "1", "-screen", "0", "1280x900x24", "-nolisten", "tcp"); err != nil {
		return nil, err
	}
	display, err := told(ctx, k.display, "its display's number", found)
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	command := []string{driver, "--port=" + port}
	if len(o.RootFiles) > 0 {
		if command, err = withRoot(o, command); err != nil {
			return nil, err
		}
	}
	env := append(homes(o.Home), "DISPLAY=:"+display, "WAYLAND_DISPLAY=", "GDK_BACKEND=x11", "NO_AT_BRIDGE=1", "GTK_A11Y=none",
		"DBUS_SESSION_BUS_ADDRESS=disabled:", "GSETTINGS_BACKEND=memory", "LIBGL_ALWAYS_SOFTWARE=1")
	if k.driver, err = start(env, nil, command[0], command[1:]...); err != nil {
		return nil, err
	}
	url := "http://127.0.0.1:" + port
	if err := k.awaitDriver(ctx, url+"/status"); err != nil {
		return nil, err
	}
	k.webdriver, k.version, err = newSession(ctx, url, map[string]any{
		"acceptInsecureCerts": false,
		"timeouts":            map[string]any{"script": nil}, // ctx ends it, and no timer of the page
		"webkitgtk:browserOptions": map[string]any{
			"binary": browser, "args": []string{"--automation"},
		},
	})
	if err != nil {
		return nil, err
	}
	return k, nil
}

func findMiniBrowser() (string, error) {
	const pattern = "/usr/lib*/*/webkit2gtk-4.*/MiniBrowser"
	for _, pattern := range []string{pattern, "/usr/lib*/*/webkitgtk-6.*/MiniBrowser", "/usr/libexec/webkit*/MiniBrowser"} {
		if found, err := filepath.Glob(pattern); err != nil {
			return "", err
		} else if len(found) > 0 {
			return found[0], nil
		}
	}
	return "", fmt.Errorf("there is no %s", pattern)
}

// withRoot is a command that is run where the system's roots are one more.
func withRoot(o Options, command []string) ([]string, error) {
	roots, err := os.ReadFile(systemRoots)
	if err != nil {
		return nil, fmt.Errorf("trust a root: %w", err)
	}
	for _, file := range o.RootFiles {
		root, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("trust a root: %w", err)
		}
		roots = append(append(roots, '\n'), root...)
	}
	file := filepath.Join(o.Home, "roots.crt")
	if err := os.WriteFile(file, roots, 0o600); err != nil {
		return nil, fmt.Errorf("trust a root: %w", err)
	}
	unshare, err := find("unshare")
	if err != nil {
		return nil, fmt.Errorf("trust a root: %w", err)
	}
	flags := "-m"
	if os.Geteuid() != 0 {
		flags = "-rm"
	}
	return append([]string{unshare, flags, "sh", "-c", trusting, "sh", file}, command...), nil
}

// freePort is a port that is free now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

func (k *webkit) awaitDriver(ctx context.Context, url string) error {
	for {
		request, err := http.NewRequestWithContext(ctx, "GET", url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			return response.Body.Close()
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-k.driver.ended:
			return fmt.Errorf("WebKitWebDriver has ended: %s", k.driver.words())
		case <-ctx.Done():
			return fmt.Errorf("WebKitWebDriver does not answer: %w (%w): %s", err, context.Cause(ctx), k.driver.words())
		}
	}
}

func (k *webkit) Version() string { return "WebKitGTK " + major(k.version) }

func (k *webkit) Hide(ctx context.Context) error {
	return k.call(ctx, "POST", "/window/minimize", map[string]any{}, nil)
}

func (k *webkit) Show(ctx context.Context) error {
	return k.call(ctx, "POST", "/window/rect", map[string]any{"x": 0, "y": 0, "width": 1280, "height": 800}, nil)
}

func (k *webkit) Close(ctx context.Context) error {
	return errors.Join(k.call(ctx, "DELETE", "", nil, nil), k.stop())
}

func (k *webkit) stop() error {
	var err error
	for _, p := range []*program{k.driver, k.display} {
		if p != nil {
			err = errors.Join(err, p.end())
		}
	}
	return err
}
