package e2e

import (
	"maps"
	"os"
	"slices"
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
	short bool        // is played by make test, too; in Chromium each of them is, under its own name
	not   engine.Name // where it cannot be played; docs/browsers.md says why
}

var promises = map[string]promise{
	"suite":             {play: TestConformanceOfThePage, short: true},
	"demo":              {play: TestDemoMovesToLeafAndBackLosingNothing},
	"plug":              {play: TestDemoSurvivesAPulledPlug},
	"newcomer":          {play: TestNewcomerSeesTheSwitchWithoutDoingAnything, short: true},
	"untrusted leaf":    {play: TestUntrustedLeafIsRefusedAndExplained},
	"counter":           {play: TestCounterSeesEveryLossRepetitionAndInversion},
	"frames":            {play: TestFramesThatTheServerCutArriveWholeAndInOrder, short: true},
	"plain clients":     {play: TestPlainClientsUnderstandThePage},
	"pairs":             {play: TestAllPairsUnderstandEachOther},
	"calls":             {play: TestPageRunsTheCallsThatPeopleKnow},
	"discovery example": {play: TestExampleOfDiscoveryFollowsAVariableAndSaysHowTheSearchGoes},
	"Go in a page":      {play: TestGoProgramInAPageNeedsOnlyGosOwnGlue},
	"package":           {play: TestInstalledPackageMakesAPageThatFollowsAVariable},
	"policy":            {play: TestPackageFromAnotherOriginWorksUnderAStrictPolicy},
	"forbidden":         {play: TestWhatAPolicyForbidsIsSaid},
	"servers":           {play: TestUnusableServersAreNamed},
	"module":            {play: TestMissingOrWrongModuleIsExplained, short: true},
	"demo's module":     {play: TestDemoPageExplainsAMissingModule},
	"manifests":         {play: TestBadManifestLeavesTheSessionUp},
	"disposed":          {play: TestDisposedHubsLeaveNothing},
	"places":            {play: TestHubsInFramesOfEveryKind, short: true},
	"file":              {play: TestHubInAPageFromAFile},
	"globals":           {play: TestPatchedGlobalsDisturbNoHub},
	"hidden":            {play: TestHiddenTabIsNotIdleForAMinute},
	"visible":           {play: TestVisibleAgainChecksTheLinkAtOnce, short: true},
	"silence":           {play: TestSilentServerIsFoundByPings, short: true},
	"back":              {play: TestPageFromTheBackForwardCacheRecovers, short: true, not: engine.Firefox}, // it keeps no page with a WebSocket
}

// playIn plays what make test plays, or with KINOPIO_BROWSERS=whole all that can be played in several engines.
func playIn(t *testing.T, name engine.Name) {
	whole := os.Getenv("KINOPIO_BROWSERS") == "whole"
	for _, what := range slices.Sorted(maps.Keys(promises)) {
		p := promises[what]
		if p.not == name || !whole && (!p.short || name == engine.Chromium) {
			continue
		}
		t.Run(what, p.play)
	}
}
