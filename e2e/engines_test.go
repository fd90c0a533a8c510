package e2e

import (
	"os"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/e2e/engine"
)

// tables are the tests that play others in an engine: what is below one of them opens browsers of that engine, all
// else opens Chromium.
var tables = map[engine.Name]string{engine.Chromium: "TestInChromium", engine.Firefox: "TestInFirefox", engine.WebKit: "TestInWebKit"}

func TestInChromium(t *testing.T) { playIn(t, engine.Chromium) }
func TestInFirefox(t *testing.T)  { playIn(t, engine.Firefox) }
func TestInWebKit(t *testing.T)   { playIn(t, engine.WebKit) }

// promise is a test that is played in several engines.
type promise struct {
	play  func(*testing.T)
	short bool                     // is played by make test, too; in Chromium each of them is, under its own name
	not   map[engine.Name]struct{} // where it cannot be played; docs/browsers.md says why
}

var promises = map[string]promise{
	"suite":   {play: TestConformanceOfThePage, short: true},
	"demo":    {play: TestDemoMovesToLeafAndBackLosingNothing},
	"plug":    {play: TestDemoSurvivesAPulledPlug},
	"globals": {play: TestPatchedGlobalsDisturbNoHub},
}

// playIn plays what make test plays, or with KINOPIO_BROWSERS=whole all that can be played in several engines.
func playIn(t *testing.T, name engine.Name) {
	whole := os.Getenv("KINOPIO_BROWSERS") == "whole"
	for what, p := range promises {
		if _, not := p.not[name]; not || !whole && (!p.short || name == engine.Chromium) {
			continue
		}
		t.Run(what, p.play)
	}
}
