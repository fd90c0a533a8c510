package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/e2e/engine"
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
	"frames":            {play: TestFramesThatTheServerCutArriveWholeAndInOrder},
	"plain clients":     {play: TestPlainClientsUnderstandThePage},
	"pairs":             {play: TestAllPairsUnderstandEachOther},
	"calls":             {play: TestPageRunsTheCallsThatPeopleKnow},
	"discovery example": {play: TestExampleOfDiscoveryFollowsAVariableAndSaysHowTheSearchGoes},
	"Go in a page":      {play: TestGoProgramInAPageNeedsOnlyGosOwnGlue},
	"apps":              {play: TestAppsOfFrameworksFollowAVariable},
	"package":           {play: TestInstalledPackageMakesAPageThatFollowsAVariable},
	"policy":            {play: TestPackageFromAnotherOriginWorksUnderAStrictPolicy},
	"forbidden":         {play: TestWhatAPolicyForbidsIsSaid},
	"servers":           {play: TestUnusableServersAreNamed},
	"module":            {play: TestMissingOrWrongModuleIsExplained},
	"demo's module":     {play: TestDemoPageExplainsAMissingModule},
	"manifests":         {play: TestBadManifestLeavesTheSessionUp},
	"disposed":          {play: TestDisposedHubsLeaveNothing},
	"places":            {play: TestHubsInFramesOfEveryKind, short: true},
	"file":              {play: TestHubInAPageFromAFile},
	"globals":           {play: TestPatchedGlobalsDisturbNoHub, short: true},
	"guests":            {play: TestGuestsComeToTheLeafByWebTransport, short: true, not: engine.WebKit}, // it has no WebTransport
	"killed leaf":       {play: TestGuestsNoticeAKilledLeaf, not: engine.WebKit},
	"hidden":            {play: TestHiddenTabIsNotIdleForAMinute},
	"visible":           {play: TestVisibleAgainChecksTheLinkAtOnce, short: true},
	"silence":           {play: TestSilentServerIsFoundByPings, short: true},
	"gone":              {play: TestPageThatGoesIsSeenToLeaveAtOnce, not: engine.Firefox},                  // it closes WebSockets before it tells the page
	"back":              {play: TestPageFromTheBackForwardCacheRecovers, short: true, not: engine.Firefox}, // it keeps no page with a WebSocket
}

// isShort says that a test is played by make test in one of several engines, after it was played in Chromium.
func isShort(t *testing.T) bool {
	return engineOf(t) != engine.Chromium && os.Getenv("KINOPIO_BROWSERS") != "whole"
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

// Firefox waits before it opens a WebSocket to a place that refused one, longer each time. The other tests are
// without that, as their servers are many and on one address; users have it.
func TestFirefoxComesBackAtItsOwnPace(t *testing.T) {
	remote := startRemote(t)
	w := newWire(t, remote.websocket)
	page := serveLab(t, &routes{}, nil)
	b := openWith(t, func(ctx context.Context, o engine.Options) (engine.Page, error) {
		o.OwnPace = true
		return engine.Open(ctx, engine.Firefox, o)
	})
	b.goTo(page.URL + "/")
	eval[bool](b, fmt.Sprintf(`(async () => {
		window.hub = open({ servers: ["ws://%s"], reconnectTimeWait: 50, retryDelay: 50, maxRetryDelay: 200 });
		await hub.connected();
		window.beats = 0;
		await hub.lab.beat.sub(() => beats++);
		return true;
	})()`, w.address))
	const away = 3 * time.Second
	w.refuse(true)
	tried := w.count()
	back := time.NewTimer(away)
	defer back.Stop()
	<-back.C
	tried = w.count() - tried
	w.refuse(false)
	took := b.comesBack(1)
	t.Logf("the server was away for %v, in which Firefox let the hub try %d times; connected again %v later", away, tried, took)
	if tried == 0 {
		t.Error("the hub did not try while the server was away: this test shows nothing")
	}
}
