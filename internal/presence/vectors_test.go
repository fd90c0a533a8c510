//go:build !js

package presence

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

var update = flag.Bool("update", false, "write ../../conformance/presence.json anew")

const vectorsFile = "../../conformance/presence.json"

// The worlds and the noise whose machines are written down, by their seeds.
var recordedWorlds = []uint64{3, 7}

const (
	recordedNoise = 12
	noiseSteps    = 120
)

// npm/src/presence is to live the lives of conformance/presence.json exactly. They are what the machine of this package
// does: go test ./internal/presence -run Vectors -update writes them.
func TestVectorsAreCurrent(t *testing.T) {
	var out bytes.Buffer
	out.WriteString("{\n\"about\": \"Lives of machines that know who is in a scope (internal/presence), which npm/src/presence lives again. A step is the method, its arguments, what was drawn at random ([below, number]), and what came of it. Times are nanoseconds. Each byte is a character; {x30} are so many x.\",\n")
	out.WriteString("\"lives\": [")
	for i, l := range lives() {
		out.WriteString(separator(i) + "{\"name\": " + line(t, l.name) + ", \"id\": " + line(t, l.id) + ", \"steps\": [")
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
		t.Errorf("%s is not what the machine does now: go test ./internal/presence -run Vectors -update writes it, and npm/src/presence has to follow", vectorsFile)
	}
}

func separator(i int) string {
	if i == 0 {
		return "\n"
	}
	return ",\n"
}

func line(t *testing.T, value any) string {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(text.String(), "\n")
}

type recordedLife struct {
	name, id string
	steps    []lifeStep
}

func lives() (all []recordedLife) {
	for _, seed := range recordedWorlds {
		for _, h := range play(seed, "", nil, true).hubs {
			all = append(all, recordedLife{fmt.Sprintf("world %d, hub %d", seed, h.id), h.m.id, h.m.life})
		}
	}
	for seed := range recordedNoise {
		m := noise(uint64(seed))
		all = append(all, recordedLife{fmt.Sprintf("noise %d", seed), m.id, m.life})
	}
	for _, l := range []struct {
		name string
		m    *recorder
	}{{"much to tell", crowd()}, {"a list in parts", listed()}, {"others know fewer, and these are all", replaced()}} {
		all = append(all, recordedLife{l.name, l.m.id, l.m.life})
	}
	return all
}

// until lets a machine do what is due until a time.
func (r *recorder) until(now, end time.Duration) time.Duration {
	for next := r.Next(); next != 0 && next <= end; next = r.Next() {
		now = max(now, next)
		r.Tick(now)
		r.Effects()
	}
	return end
}

// crowd is a life among more than goes into one message, who are all gone at the same time.
func crowd() *recorder {
	m := recordMachine("MMMMMMMMMM", rand.New(rand.NewPCG(1, 3)), true)
	now := time.Duration(1)
	m.Online(now)
	m.Join(now, bytes.Repeat([]byte("x"), MostData))
	m.Unanswered(now)
	m.Effects()
	for i := range 40 {
		m.Heard(now, hereX(fmt.Sprintf("%010d", i), 1, MostData-i))
	}
	m.Effects()
	m.Asked()
	m.Members(func(string, []byte) {})
	now = m.until(now, now+7*time.Second)
	m.HeardRoll(now, []byte("0000000001 1 MMMMMMMMMM 1 ?"))
	now = m.until(now, now+2*time.Second)
	m.HeardRoll(now, []byte("0000000002 1 MMMMMMMMMM 1 ?"))
	m.until(now, now+18*time.Second)
	m.Members(func(string, []byte) {})
	return m
}

func hereX(id string, seq uint64, size int) []byte {
	return record{id, seq, bytes.Repeat([]byte("x"), size)}.append([]byte("here "))
}

// listed is a life in which who calls tells all of all, in parts, and in other ones between them.
func listed() *recorder {
	m := recordMachine("MMMMMMMMMM", rand.New(rand.NewPCG(1, 4)), true)
	now := time.Duration(1)
	m.Online(now)
	m.Watch(now)
	m.Unanswered(now)
	m.Join(now, nil)
	for _, id := range []string{"AAAAAAAAAA", "BBBBBBBBBB", "CCCCCCCCCC", "ZZZZZZZZZZ"} {
		m.Heard(now, hereX(id, 3, 1))
	}
	m.Effects()
	now += 3 * time.Second
	m.Heard(now, []byte("call AAAAAAAAAA 7 5 0"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 2 2\nBBBBBBBBBB 3 1\nx\n"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 1 2\nBBBBBBBBBB 3 1\nx\n"))
	m.Heard(now, []byte("list ZZZZZZZZZZ 7 1 1\n"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 +1 02\nBBBBBBBBBB 3 1\nx\n"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 1x 2\nBBBBBBBBBB 3 1\nx\n"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 2 99999999999999999999\nBBBBBBBBBB 3 1\nx\n"))
	m.Heard(now, []byte("list AAAAAAAAAA 7 2 2\nDDDDDDDDDD 1 2\n\xff\n\n"))
	m.Effects()
	now = m.until(now, now+time.Second)
	m.Members(func(string, []byte) {})
	// Lines that nobody writes end what is taken.
	for _, text := range []string{
		"gone AAAAAAAAAA\nshort 1\nAAAAAAAAAA 3", "gone AAAAAAAAAA\nBBBBBBBBBB x\nAAAAAAAAAA 3", "gone AAAAAAAAAA\n\nAAAAAAAAAA 3",
		"left AAAAAAAAAA 3", "left AAAAAAAAAA 1048579", "left AAAAAAAAAA 1048580", "left MMMMMMMMMM 1",
	} {
		m.Heard(now, []byte(text))
		m.Effects()
	}
	for _, text := range []string{"who AAAAAAAAAA 1 1 1\n", "who AAAAAAAAAA 1", "who short 1 1\n", "whom AAAAAAAAAA 1 1\n"} {
		m.Listed(now, []byte(text+"EEEEEEEEEE 1 0\n\n"))
		m.Effects()
	}
	// A list that this hub is on; who has said something lately is not taken off, and who has not is.
	m.Heard(now, hereX("FFFFFFFFFF", 1, 0))
	now = m.until(now, now+3*time.Second)
	m.Heard(now, hereX("FFFFFFFFFF", 1, 0))
	m.Heard(now, hereX("AAAAAAAAAA", 1048580, 0))
	m.Heard(now, []byte("call AAAAAAAAAA 8 1 0"))
	m.Effects()
	m.Heard(now, []byte("list AAAAAAAAAA 8 1 1\nMMMMMMMMMM 1 0\n\n"))
	m.Effects()
	m.Members(func(string, []byte) {})
	m.until(now, now+20*time.Second)
	return m
}

// replaced is a life in which the answer to a question has fewer than are known, and is what who calls knows.
func replaced() *recorder {
	m := recordMachine("MMMMMMMMMM", rand.New(rand.NewPCG(1, 5)), true)
	now := time.Duration(1)
	m.Online(now)
	m.Watch(now)
	m.Effects()
	m.Listed(now, []byte("who AAAAAAAAAA 1 1\nAAAAAAAAAA 1 0\n\nBBBBBBBBBB 1 0\n\n"))
	for i := range 4 {
		now = m.until(now, now+time.Second)
		m.Heard(now, fmt.Appendf(nil, "call AAAAAAAAAA %d 1 %x", i+1, record{"AAAAAAAAAA", 1, nil}.hash()))
		m.Effects()
		m.until(now, now)
		m.Listed(now, []byte("who AAAAAAAAAA 1 1\nAAAAAAAAAA 1 0\n\n"))
		m.Effects()
	}
	m.Members(func(string, []byte) {})
	m.Unwatch()
	m.Effects()
	return m
}

// noise is a life in which anything happens, also what no network brings.
func noise(seed uint64) *recorder {
	r := rand.New(rand.NewPCG(seed, 2))
	ids := []string{"0AAAAAAAAA", "MMMMMMMMMM", "SSSSSSSSSS", "ZZZZZZZZZ9", "short"}
	m := recordMachine(ids[1+r.IntN(2)], r, true)
	now := time.Duration(1 + r.IntN(1000))
	id := func() string {
		if r.IntN(8) == 0 {
			return ids[4]
		}
		return ids[r.IntN(4)]
	}
	seq := func() string {
		switch r.IntN(20) {
		case 0:
			return []string{"0", "01", "+1", "-1", "", "1.5", "1e3", "1099511627777", "1099511627776", "9999999999999999"}[r.IntN(10)]
		case 1:
			return decimal(uint64(r.IntN(3)) + mostJump)
		}
		return decimal(uint64(1 + r.IntN(12)))
	}
	data := func() string {
		switch r.IntN(8) {
		case 0:
			return strings.Repeat("x", 1000+r.IntN(30))
		case 1:
			return "\x00\xff\n\x80 é"
		}
		return fmt.Sprint(r.IntN(100))
	}
	entry := func() string {
		text := data()
		size := len(text)
		if r.IntN(12) == 0 {
			size += r.IntN(3) - 1
		}
		return fmt.Sprintf("%s %s %d\n%s", id(), seq(), size, text)
	}
	entries := func() (text string) {
		for range r.IntN(4) {
			text += entry() + "\n"
		}
		return text + []string{"", "", "rest", "\n"}[r.IntN(4)]
	}
	number := func() string { return []string{"1", "2", "3", "0", "x"}[r.IntN(5)] }
	hash := func() string { return []string{fmt.Sprintf("%x", m.hash), "0", "abc"}[r.IntN(3)] }
	count := func() string {
		n := len(m.members)
		if m.joined {
			n++
		}
		return []string{fmt.Sprint(n), fmt.Sprint(n), number()}[r.IntN(3)]
	}
	for range noiseSteps {
		now += time.Duration(r.Int64N(int64(time.Second)))
		if next := m.Next(); next != 0 && r.IntN(3) > 0 {
			now = max(now, next+time.Duration(r.IntN(2)))
			m.Tick(now)
			m.Effects()
		}
		switch n := r.IntN(30); {
		case n < 3:
			m.Join(now, []byte(data()))
		case n < 4 && r.IntN(2) == 0:
			m.Leave(now)
		case n < 5:
			m.Watch(now)
		case n < 6 && r.IntN(3) == 0:
			m.Unwatch()
		case n < 7:
			m.Online(now)
		case n < 8 && r.IntN(2) == 0:
			m.Offline()
		case n < 12:
			m.Heard(now, []byte("here "+entry()))
		case n < 13:
			m.Heard(now, []byte("left "+id()+" "+seq()))
		case n < 18:
			m.Heard(now, []byte("call "+id()+" "+number()+" "+count()+" "+hash()))
		case n < 20:
			m.Heard(now, []byte("gone "+id()+"\n"+id()+" "+seq()+[]string{"", "\n", "\n\n", "\n" + id() + " " + seq()}[r.IntN(4)]))
		case n < 21:
			m.Heard(now, []byte("say "+id()+"\n"+id()+"\n"+id()+[]string{"", "\n"}[r.IntN(2)]))
		case n < 23:
			m.Heard(now, []byte("list "+id()+" "+number()+" "+number()+" "+number()+"\n"+entries()))
		case n < 24:
			m.Heard(now, []byte([]string{"", "here", "here ", "call", "what MMMMMMMMMM", "left MMMMMMMMMM 1 2"}[r.IntN(6)]))
		case n < 27:
			caller := m.id
			if r.IntN(6) == 0 {
				caller = id()
			}
			m.HeardRoll(now, []byte(id()+" "+seq()+" "+caller+" "+number()+[]string{"", "", " ?", " !", " ? ?"}[r.IntN(5)]))
		case n < 29:
			m.Listed(now, []byte([]string{"who", "who", "who", "why"}[r.IntN(4)]+" "+id()+" "+number()+" "+number()+"\n"+entries()))
		case r.IntN(2) == 0:
			m.Unanswered(now)
		default:
			m.Asked()
			m.Members(func(string, []byte) {})
		}
		m.Effects()
	}
	return m
}

// Every method and every kind of effect is in the lives.
func TestVectorsHaveEverything(t *testing.T) {
	methods, kinds, said := map[string]int{}, map[Kind]int{}, map[string]int{}
	for _, l := range lives() {
		for _, step := range l.steps {
			methods[step[0].(string)]++
			if step[0] != "effects" {
				continue
			}
			for _, e := range step[3].([]any) {
				effect := e.([]any)
				kinds[effect[0].(Kind)]++
				if effect[0] == Say {
					word, _, _ := strings.Cut(effect[2].(string), " ")
					said[word]++
				}
			}
		}
	}
	for _, method := range strings.Fields("effects next members join leave watch unwatch linked unlinked tick heard heardRoll listed unanswered asked knows") {
		if methods[method] == 0 {
			t.Errorf("no life has %s", method)
		}
	}
	for kind := Hear; kind <= Left; kind++ {
		if kinds[kind] == 0 {
			t.Errorf("no life has an effect of kind %d", kind)
		}
	}
	for _, word := range strings.Fields("here left call gone say list") {
		if said[word] == 0 {
			t.Errorf("in no life a machine says %q", word)
		}
	}
}
