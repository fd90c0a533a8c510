package conformance

import (
	"embed"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"
	"time"
)

//go:embed scenarios/*.json selfcheck.json vectors.json
var data embed.FS

// A file is one topic of the suite.
type file struct {
	About     string     `json:"about"`
	Scenarios []scenario `json:"scenarios"`
}

// A scenario is one promise. README.md has the language.
type scenario struct {
	Name     string                     `json:"name"`
	Only     string                     `json:"only"`     // "go" or "js"; "" is every platform
	Because  string                     `json:"because"`  // why only there
	Servers  map[string]json.RawMessage `json:"servers"`  // lab.Settings; default: one, main
	Hubs     map[string]options         `json:"hubs"`     // opened first; default: a, with no options
	Patience int                        `json:"patience"` // ms that a step may take; default 10 s
	Errors   string                     `json:"errors"`   // "any": reported errors need not be expected
	Steps    []step                     `json:"steps"`
	MustFail string                     `json:"mustFail"` // of a self-check: what its failure says
}

// patience is how long a step may take.
func (s scenario) patience() time.Duration {
	if s.Patience == 0 {
		return 10 * time.Second
	}
	return time.Duration(s.Patience) * time.Millisecond
}

// options are a hub's by their JavaScript names.
type options map[string]json.RawMessage

// A step is one thing that is done, and what must come of it. Do is "actor verb target".
type step struct {
	Do     string   `json:"do"`
	At     []string `json:"at"`     // a variable whose names cannot stand in Do
	As     string   `json:"as"`     // names the handle that this makes
	Into   string   `json:"into"`   // another handle that gets the messages
	Later  bool     `json:"later"`  // do not wait: the handle ends later
	Repeat int      `json:"repeat"` // of "repeat"
	Steps  []step   `json:"steps"`

	// What goes in.
	Options     options             `json:"options"`
	Value       json.RawMessage     `json:"value"`
	Text        *string             `json:"text"`
	Base64      []byte              `json:"base64"`
	Headers     map[string][]string `json:"headers"`
	Reply       string              `json:"reply"`
	Distinct    bool                `json:"distinct"`
	Times       int                 `json:"times"`
	Together    bool                `json:"together"`
	Queue       string              `json:"queue"`
	Max         int                 `json:"max"`
	Conflate    bool                `json:"conflate"`
	Order       string              `json:"order"`
	Concurrency int                 `json:"concurrency"`
	Timeout     int                 `json:"timeout"`
	Window      int                 `json:"window"`
	With        string              `json:"with"`
	Code        string              `json:"code"`
	Answers     []wireMessage       `json:"answers"`

	// What must come out.
	Gives        json.RawMessage            `json:"gives"`
	GivesAll     []json.RawMessage          `json:"givesAll"`
	Message      *wireMessage               `json:"message"`
	Fails        string                     `json:"fails"`
	Naming       []string                   `json:"naming"`
	NotNaming    []string                   `json:"notNaming"`
	NamingOption string                     `json:"namingOption"`
	Service      *serviceError              `json:"service"`
	NotBefore    int                        `json:"notBefore"`
	Is           json.RawMessage            `json:"is"`
	Are          []string                   `json:"are"`
	Has          map[string]json.RawMessage `json:"has"`
	Values       []json.RawMessage          `json:"values"`
	Messages     []wireMessage              `json:"messages"`
	Range        []int                      `json:"range"`
	AnyOrder     bool                       `json:"anyOrder"`
	All          bool                       `json:"all"`
	Until        json.RawMessage            `json:"until"`
}

// A wireMessage is a message as far as the scenario says something about it.
type wireMessage struct {
	Value   json.RawMessage      `json:"value"`
	Subject *string              `json:"subject"`
	Reply   *string              `json:"reply"`
	Headers *map[string][]string `json:"headers"`
	Number  *string              `json:"number"`
	Version *string              `json:"version"`
	Text    *string              `json:"text"`
	Base64  []byte               `json:"base64"`
}

// A serviceError is what the requester learns of a handler that failed.
type serviceError struct {
	Message string          `json:"message"`
	Code    string          `json:"code"`
	Data    json.RawMessage `json:"data"`
}

// vectors are what platforms must agree on without a word about how.
type vectors struct {
	Encode []vector `json:"encode"`
	Decode []vector `json:"decode"`
	Names  []struct {
		Name    string `json:"name"`
		Target  bool   `json:"target"`
		Pattern bool   `json:"pattern"`
	} `json:"names"`
	Errors []struct {
		Message string `json:"message"`
		Text    string `json:"text"`
		Header  string `json:"header"`
		Code    string `json:"code"`
	} `json:"errors"`
	About string `json:"about"`
}

type vector struct {
	Name   string          `json:"name"`
	Value  json.RawMessage `json:"value"`
	Text   *string         `json:"text"`
	Base64 []byte          `json:"base64"`
}

func (v vector) bytes() []byte { return bytesOf(v.Text, v.Base64) }

// read parses a file of the suite strictly: a word that the language lacks is an error.
func read(t testing.TB, name string, into any) {
	t.Helper()
	text, err := data.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// files are the topics by their name.
func files(t testing.TB) map[string]file {
	t.Helper()
	names, err := data.ReadDir("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]file{}
	for _, entry := range names {
		var f file
		read(t, path.Join("scenarios", entry.Name()), &f)
		all[strings.TrimSuffix(entry.Name(), ".json")] = f
	}
	return all
}

func TestEveryScenarioIsAPromiseOfItsOwn(t *testing.T) {
	seen := map[string]string{}
	for topic, f := range files(t) {
		if f.About == "" || len(f.Scenarios) == 0 {
			t.Errorf("%s: want about and scenarios", topic)
		}
		for _, s := range f.Scenarios {
			switch {
			case s.Name == "" || len(s.Steps) == 0:
				t.Errorf("%s: scenario %q: want a name and steps", topic, s.Name)
			case seen[s.Name] != "":
				t.Errorf("%s: scenario %q is in %s, too", topic, s.Name, seen[s.Name])
			case !slices.Contains([]string{"", "go", "js"}, s.Only) || (s.Only == "") != (s.Because == ""):
				t.Errorf("%s: scenario %q: only is %q: want go or js, and because", topic, s.Name, s.Only)
			case s.MustFail != "":
				t.Errorf("%s: scenario %q: mustFail belongs into selfcheck.json", topic, s.Name)
			}
			seen[s.Name] = topic
		}
	}
}

// show is a step as its author wrote it, shortened.
func (s step) show(i int) string {
	what := fmt.Sprintf("step %d, %q", i+1, s.Do)
	if s.At != nil {
		what += fmt.Sprintf(" %q", s.At)
	}
	return what
}
