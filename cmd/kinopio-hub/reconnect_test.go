package main

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// A server that is killed and comes again costs no service and no value.
func TestServeAndWatchOutliveAServer(t *testing.T) {
	s := plainServer(t, -1)
	url := s.ClientURL()
	serve := startTool(t, nil, "serve", "robot.version", "--value", `"1.4"`, "-s", url)
	serve.await("serving ")
	hold := startTool(t, nil, "set", "robot.name", "Ada", "--hold", "-s", url)
	hold.await("robot.name is set")
	watch := startTool(t, nil, "watch", "robot.name", "-s", url)
	if got := watch.line(); got != "robot.name  Ada" {
		t.Errorf("%q", got)
	}
	port := s.Addr().(*net.TCPAddr).Port
	s.Shutdown()
	s.WaitForShutdown()
	all := []*tool{serve, hold, watch}
	for _, c := range all {
		c.await("the connection is lost")
	}
	plainServer(t, port)
	for _, c := range all {
		c.await("connected again")
	}
	for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // A subscription may come after the connection.
		out, said, code := runTool(t, nil, "req", "robot.version", "-s", url)
		if code == 0 && out == "robot.version  \"1.4\"\n" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("exit code %d, %q\n%s", code, out, said)
		}
	}
	if out, said, code := runTool(t, nil, "get", "robot.name", "-s", url); code != 0 || out != "Ada\n" {
		t.Errorf("exit code %d, %q\n%s", code, out, said)
	}
	if _, said, code := runTool(t, nil, "set", "robot.name", "Bob", "-s", url); code != 0 {
		t.Error(said)
	}
	if got := watch.line(); got != "robot.name  Bob" {
		t.Errorf("%q", got)
	}
	for _, c := range all {
		if _, said, code := signaled(t, c, os.Interrupt); code != 0 || strings.Contains(said, "error:") {
			t.Errorf("exit code %d\n%s", code, said)
		}
	}
}
