//go:build !js

package keep

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"
)

var update = flag.Bool("update", false, "write ../../conformance/keep.json anew")

const vectorsFile = "../../conformance/keep.json"

// The worlds and the noise whose machines are written down, by their seeds.
const (
	recordedWorlds = 4
	recordedNoise  = 16
	noiseSteps     = 110
)

// npm/src/keep is to live the lives of conformance/keep.json exactly. They are what the machine of this package does:
// go test ./internal/keep -run Vectors -update writes them.
func TestVectorsAreCurrent(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("{\n\"about\": \"Lives of machines that know set values (internal/keep), which npm/src/keep lives again. A step is the method, its arguments, what was drawn at random (writers and tokens, numbers below 2^20, or [below, number]), and what came of it. Times are nanoseconds. Data that is a number are so many x.\",\n")
	out.WriteString("\"stamps\": [")
	for i, text := range stampTexts() {
		s, ok := ParseStamp(text)
		out.WriteString(separator(i) + line(t, []any{text, ok, s.Counter, s.Writer, s.Deleted, s.Again}))
	}
	out.WriteString("\n],\n\"lives\": [")
	for i, l := range lives() {
		out.WriteString(separator(i) + "{\"name\": " + line(t, l.name) + ", \"atOnce\": " + line(t, l.atOnce) + ", \"steps\": [")
		for j, step := range l.steps {
			out.WriteString(separator(j) + line(t, step))
		}
		out.WriteString("\n]}")
	}
	out.WriteString("\n]\n}\n")
	if *update {
		if err := os.WriteFile(vectorsFile, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(vectorsFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(have, out.Bytes()) {
		t.Errorf("%s is not what the machine does now: go test ./internal/keep -run Vectors -update writes it, and npm/src/keep has to follow", vectorsFile)
	}
}

func separator(i int) string {
	if i == 0 {
		return "\n"
	}
	return ",\n"
}

func line(t *testing.T, value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// stampTexts are good and bad ones.
func stampTexts() []string {
	all := []string{
		"0", "", "00", "0.aaaaaaa", "1", "1.", "1.aaaaaa", "1.aaaaaaa", "1.aaaaaaaa", "1.aaaaaaa-", "1.aaaaaaa+", "1.aaaaaaa-+",
		"1.aaaaaaa+-", "1.aaaaaaa--", "1.aaaaaaa++", "01.aaaaaaa", "a.0Az9Zz0", "A.aaaaaaa", "g.aaaaaaa", "1,aaaaaaa", "1.aaaa.aa",
		"1.aaaa aa", " 1.aaaaaaa", "1.aaaaaaa ", "1.aaaaaaa\n", "1.aaaaaa\u00e9", "-1.aaaaaaa", "1fffffffffffff.zzzzzzz-+",
		"20000000000000.zzzzzzz", "fffffffffffffff.zzzzzzz", "0x1.aaaaaaa", "1e5.aaaaaaa",
	}
	for _, c := range "/:@[`{^" {
		all = append(all, "1.aaaaaa"+string(c))
	}
	return all
}

type recordedLife struct {
	name   string
	atOnce int
	steps  []lifeStep
}

func lives() (all []recordedLife) {
	for seed := range recordedWorlds {
		w := play(uint64(seed), "", nil, true)
		for _, h := range w.hubs {
			all = append(all, recordedLife{fmt.Sprintf("world %d, hub %d", seed, h.id), w.atOnce, h.m.life})
		}
	}
	for seed := range recordedNoise {
		all = append(all, recordedLife{fmt.Sprintf("noise %d", seed), 1 + seed%4, noise(uint64(seed))})
	}
	return append(all, recordedLife{"much to send, and many beats", 4, crowd()})
}

// crowd is a life with more to send than goes at a time, and more beats than are remembered.
func crowd() []lifeStep {
	m := record(rand.New(rand.NewPCG(1, 3)), true, 4)
	now := time.Duration(1)
	until := func(end time.Duration) {
		for next := m.Next(); next != 0 && next <= end; next = m.Next() {
			now = max(now, next)
			m.Tick(now)
			m.Effects()
		}
		now = end
	}
	m.Online(now)
	names := []string{"a.1", "a.2", "a.3", "a.4", "a.5"}
	var offer strings.Builder
	for i, name := range names {
		m.Follow(now, name)
		m.Unanswered(now, name)
		m.Set(now, name, bytes.Repeat([]byte("x"), 15_950+500*(i/2)), false, uint64(i+1))
		offer.WriteString("0 " + name + "\n")
	}
	m.Effects()
	until(now + 20*time.Second)
	m.HeardOffer(now, offer.String())
	until(now + 3*time.Second)
	for i := range beatsKept + 3 {
		m.HeardBeat(now, fmt.Sprintf("%07d %07d", i+1, i))
		m.Effects()
		until(now + 3*time.Second)
	}
	for i := range 2 { // the fourth is remembered just so, and then not any more
		m.HeardBeat(now, fmt.Sprintf("beat%03d 0000004", i))
		m.Effects()
		until(now + 3*time.Second)
	}
	return m.life
}

// noise is a life in which anything happens, also what no network brings.
func noise(seed uint64) []lifeStep {
	r := rand.New(rand.NewPCG(seed, 2))
	m := record(r, true, 1+int(seed)%4)
	now := time.Duration(r.IntN(1000))
	names := []string{"a.x", "a.y", "a.x.y", "b.z", "b.y", "solo"}
	name := func() string { return names[r.IntN(len(names))] }
	var writers []string
	stamp := func() (s Stamp) {
		if r.IntN(8) == 0 {
			return s
		}
		s.Counter = uint64(1 + r.IntN(9))
		if r.IntN(40) == 0 {
			s.Counter = MostCounter - uint64(r.IntN(2))
		}
		s.Writer = []string{"0000000", "zzzzzzz", "5555555"}[r.IntN(3)]
		if len(writers) > 0 && r.IntN(4) == 0 {
			s.Writer = writers[r.IntN(len(writers))]
		}
		s.Deleted, s.Again = r.IntN(4) == 0, r.IntN(3) == 0
		return s
	}
	data := func() []byte {
		if r.IntN(5) == 0 {
			return bytes.Repeat([]byte("x"), 101+r.IntN(30_000))
		}
		return []byte(fmt.Sprint(r.IntN(100)))
	}
	tokens := []string{"0", "1111111", "2222222", "3333333", "short"}
	for id := range uint64(noiseSteps) {
		now += time.Duration(r.Int64N(int64(time.Second)))
		if next := m.Next(); next != 0 && r.IntN(3) > 0 {
			now = max(now, next+time.Duration(r.IntN(2)))
			m.Tick(now)
			m.Effects()
		}
		switch n := r.IntN(24); {
		case n < 4:
			m.Follow(now, name())
		case n < 5:
			m.Unfollow(name())
		case n < 6:
			m.Online(now)
		case n < 7 && r.IntN(3) == 0:
			m.Offline()
		case n < 10:
			if subject := name(); !m.Exhausted(subject) {
				m.Set(now, subject, data(), r.IntN(4) == 0, id+1)
				m.Waiting(subject)
			}
		case n < 11:
			m.Refused(now, name(), r.IntN(2) == 0)
		case n < 15:
			m.Heard(now, name(), stamp(), data())
		case n < 18:
			var text strings.Builder
			for range r.IntN(4) {
				text.WriteString(stamp().String() + " " + name() + "\n")
			}
			m.HeardOffer(now, text.String()+[]string{"", "1.aaaaaaa", "nonsense a.x\n", "1.0000000  a.x\n", "\n", "3.5555555 a.x"}[r.IntN(6)])
		case n < 20:
			m.HeardBeat(now, tokens[r.IntN(len(tokens))]+[]string{" ", "", "  "}[r.IntN(3)]+tokens[r.IntN(len(tokens))])
		case n < 22:
			m.Answered(now, name(), stamp(), data())
		case n < 23:
			m.Unanswered(now, name())
		default:
			m.Asked(name())
		}
		m.Effects()
		writers = writers[:0]
		for _, n := range names { // in their order: a seed decides everything
			if c := m.cells[n]; c != nil {
				writers = append(writers, c.writer)
			}
		}
	}
	return m.life
}

// Every method and every kind of effect is in the lives.
func TestVectorsHaveEverything(t *testing.T) {
	methods, kinds, verdicts := map[string]int{}, map[Kind]int{}, map[Verdict]int{}
	for _, l := range lives() {
		for _, step := range l.steps {
			methods[step[0].(string)]++
			switch result := step[3].(type) {
			case Verdict:
				verdicts[result]++
			case []any:
				if step[0] == "effects" {
					for _, e := range result {
						kinds[e.([]any)[0].(Kind)]++
					}
				}
			}
		}
	}
	want := strings.Fields("effects next follow unfollow online offline tick set refused exhausted waiting heard heardOffer heardBeat answered unanswered asked")
	for _, method := range want {
		if methods[method] == 0 {
			t.Errorf("no life has %s", method)
		}
	}
	for kind := Ask; kind <= Superseded; kind++ {
		if kinds[kind] == 0 {
			t.Errorf("no life has an effect of kind %d", kind)
		}
	}
	for v := Unknown; v <= Older; v++ {
		if verdicts[v] == 0 {
			t.Errorf("no life has the verdict %d", v)
		}
	}
}
