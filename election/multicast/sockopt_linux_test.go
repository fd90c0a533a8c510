package multicast

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSystemsThatShareLessDo(t *testing.T) {
	for option, must := range map[int]bool{unix.SO_REUSEADDR: true, unix.SO_REUSEPORT: false, unix.IP_MULTICAST_ALL: false} {
		set := map[int]int{}
		var log strings.Builder
		err := share(func(_, o, value int) error {
			if o == option {
				return unix.ENOPROTOOPT
			}
			set[o] = value
			return nil
		}, slog.New(slog.NewTextHandler(&log, nil)))
		if errors.Is(err, unix.ENOPROTOOPT) != must {
			t.Errorf("without option %d: %v", option, err)
		}
		if !must && len(set) != 3 {
			t.Errorf("without option %d only %v are set", option, set)
		}
		if said := strings.Contains(log.String(), "SO_REUSEPORT"); said != (option == unix.SO_REUSEPORT) {
			t.Errorf("without option %d it says %q", option, &log)
		}
	}
}
