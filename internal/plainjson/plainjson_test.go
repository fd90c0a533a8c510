package plainjson

import (
	"slices"
	"testing"
)

func TestReaderReadsWhatIsThere(t *testing.T) {
	r, err := Read([]byte(` {"s":"ä\u2028\"","n":-1.5,"i":9007199254740992,"b":true,"l":["a","b"],"e":[],"o":{"s":"in"},"null":null}`))
	if err != nil {
		t.Fatal(err)
	}
	if s := r.Text("s"); s != "ä\u2028\"" {
		t.Errorf("s = %q", s)
	}
	if n, i := r.Number("n"), r.Int("i"); n != -1.5 || i != 1<<53 {
		t.Errorf("n = %v, i = %v", n, i)
	}
	if !r.Bool("b") || !slices.Equal(r.Texts("l"), []string{"a", "b"}) || r.Texts("e") != nil || r.Object("o").Text("s") != "in" {
		t.Error("b, l, e or o is something else")
	}
	for _, missing := range []string{"null", "none", ""} {
		if r.Has(missing) || r.Text(missing) != "" || r.Number(missing) != 0 || r.Bool(missing) || r.Texts(missing) != nil || r.Object(missing).Text("s") != "" {
			t.Errorf("%q is there", missing)
		}
	}
	if !r.Has("b") || r.Err() != nil {
		t.Errorf("b is missing, or %v", r.Err())
	}
}

func TestReaderSaysWhatIsOfAnotherType(t *testing.T) {
	const text = `{"s":"a","n":1.5,"l":["a",1],"o":{"b":0},"big":1e300}`
	for want, use := range map[string]func(*Reader){
		"s: want true or false":       func(r *Reader) { r.Bool("s") },
		"n: want a string":            func(r *Reader) { r.Text("n") },
		"s: want a number":            func(r *Reader) { r.Number("s") },
		"n: want a whole number":      func(r *Reader) { r.Int("n") },
		"big: want a whole number":    func(r *Reader) { r.Int("big") },
		"l: want an array of strings": func(r *Reader) { r.Texts("l"); r.Text("n") }, // the first
		"o: want an array of strings": func(r *Reader) { r.Texts("o") },
		"l: want an object":           func(r *Reader) { r.Object("l").Text("s") },
		"o.b: want true or false":     func(r *Reader) { r.Object("o").Bool("b") },
	} {
		r, err := Read([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		use(r)
		if err := r.Err(); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

func TestReadWantsAnObject(t *testing.T) {
	for _, text := range []string{``, `null`, `[]`, `"a"`, `1`, `{`, `{}x`, `{"a":}`, "{\"a\":\"\n\"}"} {
		if r, err := Read([]byte(text)); err == nil {
			t.Errorf("%q is %v", text, r)
		}
	}
}

func TestWriterWritesWhatReaderReads(t *testing.T) {
	const odd = "a\"\\\n\x00<>&\u2028ä😀"
	var inner, w Writer
	text := w.Text("t", odd).Bool("b", true).Int("i", -1<<53).Number("n", 0.1).Raw("o", inner.Text("t", "").String()).Raw("null", "null").String()
	r, err := Read([]byte(text))
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	if r.Text("t") != odd || !r.Bool("b") || r.Int("i") != -1<<53 || r.Number("n") != 0.1 || !r.Object("o").Has("t") || r.Has("null") || r.Err() != nil {
		t.Errorf("%s is read otherwise: %v", text, r.Err())
	}
	var none Writer
	if none.String() != "{}" {
		t.Errorf("no fields are %s", none.String())
	}
	if got := Quote("<a&b>"); got != `"<a&b>"` {
		t.Errorf("got %s", got)
	}
	if r, err = Read([]byte(`{"q":` + Quote("\xff") + `}`)); err != nil || r.Text("q") != "\ufffd" {
		t.Errorf("what is not UTF-8 is %q, %v", r.Text("q"), err)
	}
}
