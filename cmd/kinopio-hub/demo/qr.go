package demo

import (
	"fmt"
	"strings"

	"rsc.io/qr"
)

const (
	quietZone = 4 // modules of white around the code, which readers look for
	// Black on white whatever the terminal's colours are: readers do not have to take a code with its colours exchanged. These two of
	// the 256 colours are no theme's to change.
	blackOnWhite, asBefore = "\x1b[38;5;16;48;5;231m", "\x1b[0m"
)

// qrText is a QR code of text for a terminal, two rows of modules a line.
func qrText(text string) (string, error) {
	code, err := qr.Encode(text, qr.M)
	if err != nil {
		return "", fmt.Errorf("make a QR code of %q: %w", text, err)
	}
	var b strings.Builder
	for y := -quietZone; y < code.Size+quietZone; y += 2 {
		b.WriteString("  " + blackOnWhite)
		for x := -quietZone; x < code.Size+quietZone; x++ {
			switch above, below := code.Black(x, y), code.Black(x, y+1); {
			case above && below:
				b.WriteRune('█')
			case above:
				b.WriteRune('▀')
			case below:
				b.WriteRune('▄')
			default:
				b.WriteByte(' ')
			}
		}
		b.WriteString(asBefore + "\n")
	}
	return b.String(), nil
}
