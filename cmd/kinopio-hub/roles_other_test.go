//go:build !linux

package main

import "github.com/kinopio-hub/kinopio-hub/v3/election/lab"

var systemRoles map[string]lab.Role
