package leaf

import (
	"net"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// inside tells whether an interface leads to this machine's own containers and virtual machines,
// or into a tunnel, rather than to a LAN. The kernel is asked for its kind: names are anybody's.
func inside(i net.Interface) bool {
	if i.Flags&net.FlagPointToPoint != 0 {
		return true
	}
	switch driver(i.Name) {
	case "bridge", "openvswitch": // A bridge over a card is how a machine with guests is on its LAN.
		return !overCard(i.Name, 4)
	case "tun", "wireguard", "ipip", "sit", "gre", "ip6tnl", "vti", "vxlan", "geneve", "dummy", "ifb":
		return true
	case "": // It does not say.
		return virtualName(i.Name)
	}
	return false
}

// driver is what the kernel calls the kind of an interface; "" when it does not say.
func driver(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, name)
	if err != nil {
		return ""
	}
	return unix.ByteSliceToString(info.Driver[:])
}

// overCard tells whether below an interface there is a card, through no more than so many others.
func overCard(name string, depth int) bool {
	dir := filepath.Join("/sys/class/net", name)
	if _, err := os.Stat(filepath.Join(dir, "device")); err == nil {
		return true
	}
	entries, err := os.ReadDir(dir)
	if err != nil || depth == 0 {
		return false
	}
	for _, e := range entries {
		if lower, ok := strings.CutPrefix(e.Name(), "lower_"); ok && overCard(lower, depth-1) {
			return true
		}
	}
	return false
}
