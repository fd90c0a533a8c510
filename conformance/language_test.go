package conformance

import (
	"encoding/json"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
)

// operation are the words that any operation understands.
const operation = " as later fails naming notNaming namingOption service notBefore"

// language has, for each verb, the words that mean something to it. A word that an interpreter
// would pass over is an expectation that cannot fail.
var language = map[string]string{
	"repeat":  "repeat steps",
	"vectors": "",

	"server stop": "", "server start": "", "server restart": "", "server kick": "", "server silence": "",
	"server clients": "is are",

	"raw sub": "as queue", "raw pub": "text base64 headers reply", "raw serve": "answers",
	"raw req": "text base64 headers message" + operation,

	"open":    "options" + operation,
	"connect": "timeout" + operation, "connected": "timeout" + operation, "reconnect": "timeout" + operation,
	"flush": "timeout" + operation, "dispose": operation,
	"state": "is", "states": "are", "errors": "are naming", "missing": "values", "logs": "naming notNaming", "status": "has", "health": "has",
	"observe": "",

	"get": "at with", "value": "at is",
	"pub":     "at value headers reply distinct times together with" + operation,
	"sub":     "at into queue max conflate order with value" + operation,
	"iterate": "at as max queue",
	"watch":   "at with" + operation,
	"change":  "at" + operation,
	"set":     "at value times timeout" + operation,
	"delete":  "at timeout" + operation,
	"meta":    "at has",
	"agrees":  "with",
	"ready":   "at timeout gives" + operation,
	"req":     "at value headers timeout gives" + operation,
	"reqMany": "at value headers max window givesAll anyOrder" + operation,
	"serve":   "at queue concurrency with value text code" + operation,

	"gets":        "values messages range anyOrder until all",
	"unsubscribe": "", "stop": "", "release": "", "forgets": "", "waits": "", "closed": "",
	"drain": operation, "runs": "is", "peak": "is",
	"ends": "gives givesAll anyOrder message" + operation,
}

func TestStepsHaveOnlyWordsThatMeanSomething(t *testing.T) {
	names, err := data.ReadDir("scenarios")
	if err != nil {
		t.Fatal(err)
	}
	paths := []string{"selfcheck.json"}
	for _, name := range names {
		paths = append(paths, path.Join("scenarios", name.Name()))
	}
	for _, name := range paths {
		text, err := data.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var f struct {
			Scenarios []struct {
				Name    string           `json:"name"`
				Servers map[string]any   `json:"servers"`
				Steps   []map[string]any `json:"steps"`
			} `json:"scenarios"`
		}
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, s := range f.Scenarios {
			servers := append(slices.Collect(maps.Keys(s.Servers)), "main")
			for _, step := range flatten(s.Steps) {
				checkStep(t, name+": "+s.Name, servers, step)
			}
		}
	}
}

func checkStep(t *testing.T, where string, servers []string, step map[string]any) {
	t.Helper()
	do, _ := step["do"].(string)
	actor, rest, _ := strings.Cut(do, " ")
	verb, _, _ := strings.Cut(rest, " ")
	switch {
	case actor == "repeat" || actor == "vectors":
		verb = actor
	case actor == "raw":
		verb = "raw " + verb
	case slices.Contains(servers, actor):
		verb = "server " + verb
	}
	words, ok := language[verb]
	if !ok {
		if verb != "fly" { // of the self-check
			t.Errorf("%s: %q: the language has no verb %q", where, do, verb)
		}
		return
	}
	for word := range step {
		if word != "do" && !slices.Contains(strings.Fields(words), word) {
			t.Errorf("%s: %q: the word %q means nothing to this verb", where, do, word)
		}
	}
}

// flatten has the steps of repetitions, too.
func flatten(steps []map[string]any) (all []map[string]any) {
	for _, step := range steps {
		all = append(all, step)
		inner, _ := step["steps"].([]any)
		for _, s := range inner {
			all = append(all, flatten([]map[string]any{s.(map[string]any)})...)
		}
	}
	return all
}
