//go:build unix

package main

import (
	"os/exec"
	"syscall"
)

// ownGroup puts cmd into a process group, so that what it starts ends with it.
func ownGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// endGroup ends what cmd has left behind when it has ended.
func endGroup(cmd *exec.Cmd) { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) } // Most leave nothing.

// shellCommand is the system's shell for one line.
func shellCommand(line string) []string { return []string{"/bin/sh", "-c", line} }
