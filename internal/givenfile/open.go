//go:build !js

package givenfile

import "syscall"

const nonblock = syscall.O_NONBLOCK
