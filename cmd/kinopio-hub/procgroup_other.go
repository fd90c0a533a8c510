//go:build !unix

package main

import "os/exec"

// ownGroup does nothing where there are no process groups: what a command starts may outlive it.
func ownGroup(*exec.Cmd) {}

func endGroup(*exec.Cmd) {}

// shellCommand is the system's shell for one line.
func shellCommand(line string) []string { return []string{"cmd.exe", "/c", line} }
