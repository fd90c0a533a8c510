package main

import (
	"context"
	"fmt"
	"os/exec"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/election/lab"
)

// A machine boots, and its containers' bridge is up before the LAN is.
func TestLeafThatBeganBeforeTheLANMovesThere(t *testing.T) {
	network := lab.New(t)
	host := network.Host("a")
	host.Down()
	host.IP("link", "add", "containers", "type", "bridge") // The name says nothing.
	host.IP("addr", "add", "172.17.0.1/16", "dev", "containers")
	host.IP("link", "set", "containers", "up")
	host.IP("route", "add", "default", "via", "172.17.0.254") // As a VPN takes everything.
	program, err := exec.LookPath("kinopio-hub")
	if err != nil {
		t.Fatal(err)
	}
	leaf := host.Start("leaf", host.Command(context.Background(), program, "leaf", "start", "--discovery-namespace", "test", "--json-lines", "--parent-pipe",
		"--cache-dir", t.TempDir(), "--runtime-dir", t.TempDir()))
	leaf.Await(`"phase":"running"`, `"lanBindAddress":"172.17.0.1"`)
	host.Up()
	leaf.Await(`"phase":"running"`, fmt.Sprintf(`"lanBindAddress":"%s"`, host.Address))
	leaf.Stop()
}
