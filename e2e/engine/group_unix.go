//go:build unix

package engine

import (
	"os/exec"
	"syscall"
)

// together makes a program the head of a group that can be ended together.
func together(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// A group that has ended already is what is wanted.
func ask(cmd *exec.Cmd)   { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
func force(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
