package leaf

import (
	"fmt"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// crowdSize is how many leaves and questions there are: few of them in make test, those of docs/discovery.md in make leaf-test.
func crowdSize(t *testing.T) (leaves, questions int) {
	leaves = 100
	if text := os.Getenv("KINOPIO_LEAVES"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("KINOPIO_LEAVES = %q: want a number from 1", text)
		}
		leaves = n
	}
	return leaves, 10 * leaves
}

// startHeralds has so many leaves of a namespace answer at one backbone: heralds as they are, but clients of the
// backbone, without servers and bridges of their own. sites is how many public addresses they are behind.
func startHeralds(t *testing.T, leaves, sites int) (url string) {
	t.Helper()
	backbone, _ := startHub(t, nil)
	c := config(t)
	c.NamespaceSecret = "the secret of these tests"
	template, _ := startLeaf(t, c)
	for i := range leaves {
		set := *template.settings()
		set.NodeID = fmt.Sprintf("node-%d", i)
		set.PublicAddresses = []string{siteAddress(i % sites)}
		one := &Leaf{log: template.log, dir: template.dir, cert: template.cert, wtCerts: template.wtCerts, web: template.web, set: &set, phase: PhaseRunning}
		h := &herald{leaf: one, subs: map[string]*nats.Subscription{}, signer: set.signer, bucket: bucket{rate: answerRate, burst: answerBurst}}
		nc, err := nats.Connect(backbone.ClientURL(), nats.Timeout(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		h.nc = nc
		t.Cleanup(nc.Close)
		h.look()
		if err := nc.FlushTimeout(time.Minute); err != nil {
			t.Fatal(err)
		}
	}
	return backbone.ClientURL()
}

func siteAddress(i int) string { return fmt.Sprintf("203.0.%d.%d", 113+i/250, 1+i%250) }

// However many leaves there are, a question is answered by one of each group at most, and one for the leaves of a site by
// those alone.
func TestCrowdOfLeavesAnswersLittle(t *testing.T) {
	leaves, questions := crowdSize(t)
	sites := max(leaves/4, 1)
	url := startHeralds(t, leaves, sites)
	nc := connect(t, url)
	for name, c := range map[string]struct {
		subject     func(i int) string
		least, most int
	}{
		"of any leaf":          {func(int) string { return "any" }, askGroups, askGroups},
		"of those of a site":   {func(i int) string { return "at." + placeOf(siteAddress(i%sites)) }, leaves / sites, (leaves + sites - 1) / sites},
		"of a place with none": {func(int) string { return "at.192-0-2-1" }, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			counts := make([]atomic.Int32, questions)
			var answers, bytes atomic.Int64
			sub, err := nc.Subscribe("_INBOX.ABCDEFGHIJ.crowd.*", func(m *nats.Msg) {
				if m.Header.Get("Status") == "503" {
					return // The server's own word that nobody is there.
				}
				i, err := strconv.Atoi(m.Subject[len("_INBOX.ABCDEFGHIJ.crowd."):])
				if err != nil || i >= questions {
					t.Errorf("an answer on %s", m.Subject)
					return
				}
				counts[i].Add(1)
				answers.Add(1)
				bytes.Add(int64(m.Size()))
			})
			if err != nil {
				t.Fatal(err)
			}
			defer sub.Unsubscribe()
			if err := sub.SetPendingLimits(-1, -1); err != nil {
				t.Fatal(err)
			}
			await := func(wanted int64) { // or until nothing has come for a while
				for last, since := int64(-1), time.Now(); answers.Load() < wanted && time.Since(since) < patience; time.Sleep(time.Millisecond) {
					if now := answers.Load(); now != last {
						last, since = now, time.Now()
					}
				}
			}
			began := time.Now()
			for i := range questions {
				subject := reserved + "find." + "test" + "." + c.subject(i)
				if err := nc.PublishRequest(subject, "_INBOX.ABCDEFGHIJ.crowd."+strconv.Itoa(i), []byte(`{"nonce":"0123456789abcdefghijkl"}`)); err != nil {
					t.Fatal(err)
				}
				// As fast as this one machine, which is all thousand leaves, answers: no more than a hundred questions wait.
				await(int64(c.least) * int64(i-100))
			}
			await(int64(c.least) * int64(questions))
			took := time.Since(began)
			time.Sleep(200 * time.Millisecond) // for those that would be too many
			least, most, none := int32(1<<30), int32(0), 0
			for i := range counts {
				n := counts[i].Load()
				least, most = min(least, n), max(most, n)
				if n == 0 {
					none++
				}
			}
			t.Logf("%d leaves in %d sites, %d questions: %d to %d answers each, %d of %d bytes on average, in %v; %d questions without",
				leaves, sites, questions, least, most, answers.Load(), bytes.Load()/max(answers.Load(), 1), took.Round(time.Millisecond), none)
			if most > int32(c.most) {
				t.Errorf("%d answers to one question, want at most %d", most, c.most)
			}
			if c.least > 0 && none > 0 {
				t.Errorf("%d questions of %d have no answer", none, questions)
			}
		})
	}
}
