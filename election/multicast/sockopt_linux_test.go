package multicast

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSystemsThatShareLessDo(t *testing.T) {
	for option, must := range map[int]bool{unix.SO_REUSEADDR: true, unix.SO_REUSEPORT: false, unix.IP_MULTICAST_ALL: false} {
		set := map[int]int{}
		said := ""
		err := share(func(_, o, value int) error {
			if o == option {
				return unix.ENOPROTOOPT
			}
			set[o] = value
			return nil
		}, func(what string, _ error) { said += what })
		if errors.Is(err, unix.ENOPROTOOPT) != must {
			t.Errorf("without option %d: %v", option, err)
		}
		if !must && len(set) != 3 {
			t.Errorf("without option %d only %v are set", option, set)
		}
		if !must && said == "" {
			t.Errorf("without option %d it says nothing", option)
		}
	}
}
