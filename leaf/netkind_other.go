//go:build !linux

package leaf

import "net"

// inside tells whether an interface leads to this machine's own guests, or into a tunnel, rather
// than to a LAN. Systems other than Linux tell by the name.
func inside(i net.Interface) bool {
	return i.Flags&net.FlagPointToPoint != 0 || virtualName(i.Name)
}
