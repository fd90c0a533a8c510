package main

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// batch packs words and byte strings as npm/src/ops.ts does.
func batch(parts ...any) []byte {
	var b []byte
	for _, part := range parts {
		switch v := part.(type) {
		case int:
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		case string:
			b = append(b, v...)
			for len(b)%4 != 0 {
				b = append(b, 0)
			}
		}
	}
	return b
}

func TestReaderTakesMessagesApart(t *testing.T) {
	r := reader{b: batch(1, 8, 2, 3, "a\x00b\x00a\x00c\x00"+"re"+"xyz", 2, 0, 0, 0)}
	subjects := []string{"", "one", "two"}
	got := r.message(subjects)
	want := hub.OutMsg{Subject: "one", Reply: "re", Header: hub.Header{"a": {"b", "c"}}, Data: []byte("xyz")}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("first message is %+v, want %+v", got, want)
	}
	if got := r.message(subjects); got.Subject != "two" || len(got.Data) != 0 || r.bad {
		t.Errorf("second message is %+v (bad: %v)", got, r.bad)
	}
	if len(r.b) != 0 {
		t.Errorf("%d bytes are left", len(r.b))
	}
}

func TestReaderRefusesWhatIsCut(t *testing.T) {
	whole := batch(1, 4, 2, 3, "a\x00b\x00"+"re"+"xyz")
	for n := range whole {
		r := reader{b: whole[:n]}
		if m := r.message([]string{"", "one"}); !r.bad {
			t.Errorf("%d of %d bytes give %+v", n, len(whole), m)
		}
	}
}

func TestReaderRefusesAnUnknownSubject(t *testing.T) {
	r := reader{b: batch(7, 0, 0, 0)}
	if m := r.message([]string{""}); !r.bad {
		t.Errorf("got %+v", m)
	}
}

func FuzzReader(f *testing.F) {
	f.Add(batch(int(opPublish), 1, 1, 1, 0, 0, 3, "xyz"))
	f.Add(batch(int(opSubject), 1, 3, "abc", int(opSubscribe), 1, 1, 0, 0, 0))
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newPageHub(1, nil, nil)
		defer s.cancel()
		_ = s.execute(b) // a hub that is not open: nothing but rows
		s.dispose()
	})
}
