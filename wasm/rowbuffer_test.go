package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/internal/bridge"
)

func TestOutboxLaysMessagesOut(t *testing.T) {
	var notified int
	o := rowBuffer{notify: func() { notified++ }}
	o.message(rowMessage, 7, 3, &hub.Message{Subject: "a.b", Reply: "r", Header: hub.Header{"k": {"v"}}, Data: []byte("12")}, true)
	o.message(rowMessage, 8, 0, &hub.Message{Subject: "c", Data: []byte("345")}, false)
	rows, data, meta := o.take()
	want := []uint32{
		rowMessage, 7, 3, 0, 2, 0, 3 | 1<<16, 4,
		rowMessage, 8, 0, 2, 3, 8, 0, 0,
	}
	if fmt.Sprint(rows) != fmt.Sprint(want) || string(data) != "12345" || string(meta) != "a.brk\x00v\x00" {
		t.Errorf("got %v %q %q, want %v", rows, data, meta, want)
	}
	if notified != 1 {
		t.Errorf("notified %d times, want once for both", notified)
	}
	if o.len() != 0 {
		t.Errorf("%d rows are left", o.len())
	}
}

func TestNULInAHeaderMakesNoFurtherHeader(t *testing.T) {
	got := appendHeader(nil, hub.Header{"k": {"v\x00admin\x00yes"}, "a\x00b": {""}})
	if want := "a\uFFFDb\x00\x00k\x00v\uFFFDadmin\uFFFDyes\x00"; string(got) != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A run has a row for each message, as if they had come one by one.
func TestOutboxLaysRunsOut(t *testing.T) {
	for _, withSubject := range []bool{false, true} {
		run := &bridge.Run{Subject: "a.b", Data: [][]byte{[]byte("12"), nil, []byte("345")}}
		var one, all rowBuffer
		all.run(7, run, withSubject)
		for _, data := range run.Data {
			one.message(rowMessage, 7, 0, &hub.Message{Subject: "a.b", Data: data}, withSubject)
		}
		rows, data, meta := all.take()
		wantRows, wantData, _ := one.take()
		if withSubject {
			for i := range run.Data {
				wantRows[i*rowWords+5] = 0 // they share the subject
			}
		}
		if !slices.Equal(rows, wantRows) || !bytes.Equal(data, wantData) || withSubject != (string(meta) == "a.b") {
			t.Errorf("got %v %q %q, want %v %q", rows, data, meta, wantRows, wantData)
		}
	}
}

func TestOutboxMergesAcks(t *testing.T) {
	var o rowBuffer
	for _, id := range []uint32{1, 2, 3, 5, 6} {
		o.ack(id)
	}
	rows, _, _ := o.take()
	if len(rows) != 2*rowWords || rows[1] != 1 || rows[2] != 3 || rows[rowWords+1] != 5 || rows[rowWords+2] != 2 {
		t.Errorf("got %v, want 1…3 and 5…6", rows)
	}
}

func TestOutboxTellsErrors(t *testing.T) {
	for _, c := range []struct {
		err              error
		wantMeta, wantOf string
	}{
		{fmt.Errorf("%w after 3 s", hub.ErrTimeout), "TIMEOUT\x00timed out after 3 s", ""},
		{errors.New("odd"), "UNKNOWN\x00odd", ""},
		{&hub.ServiceError{Code: "404", Message: "no such", Data: []byte("d")}, "SERVICE_ERROR\x00service error 404: no such\x00404\x00no such", "d"},
	} {
		var o rowBuffer
		o.fail(rowFailed, 1, c.err)
		if _, data, meta := o.take(); string(meta) != c.wantMeta || string(data) != c.wantOf {
			t.Errorf("%v: got %q %q, want %q %q", c.err, meta, data, c.wantMeta, c.wantOf)
		}
	}
}

func TestOutboxReusesItsBuffers(t *testing.T) {
	var o rowBuffer
	m := &hub.Message{Data: make([]byte, 100)}
	o.message(rowMessage, 1, 0, m, false)
	allocs := testing.AllocsPerRun(100, func() {
		rows, data, meta := o.take()
		o.reuse(rows, data, meta)
		o.message(rowMessage, 1, 0, m, false)
	})
	if allocs != 0 {
		t.Errorf("%v allocations a message, want none", allocs)
	}
}

func TestAnswersForgetOnlyWhatNobodyServes(t *testing.T) {
	var a answers
	service := a.keep(hub.Responder{}, true)
	first := a.keep(hub.Responder{}, false)
	for range answersKept {
		a.keep(hub.Responder{}, false)
	}
	if _, ok := a.take(first); ok {
		t.Error("the oldest ordinary message can still be answered")
	}
	if _, ok := a.take(service); !ok {
		t.Error("the service's message can no longer be answered")
	}
	if _, ok := a.take(service); ok {
		t.Error("a message can be answered twice")
	}
	if a.len() != answersKept {
		t.Errorf("%d are kept, want %d", a.len(), answersKept)
	}
}

// Ids have 32 bits. When they have gone round, what is still to be answered keeps its own.
func TestIDsGoRound(t *testing.T) {
	var a answers
	waiting := a.keep(hub.Responder{}, true)
	old := a.keep(hub.Responder{}, false)
	if _, ok := a.take(old); !ok {
		t.Fatal("a fresh answer is gone")
	}
	a.serial = ^uint32(0) - 1
	used := map[uint32]bool{waiting: true}
	for range 3 {
		id := a.keep(hub.Responder{}, true)
		if id == 0 || used[id] {
			t.Fatalf("id %d is given twice, or is 0", id)
		}
		used[id] = true
	}
	if !used[old] {
		t.Fatalf("gave %v, want %d again", used, old)
	}
	for range answersKept { // which forgets the ordinary message that had this id before
		a.keep(hub.Responder{}, false)
	}
	for id := range used {
		if _, ok := a.take(id); !ok {
			t.Errorf("the request with id %d can no longer be answered", id)
		}
	}
	if a.len() != answersKept {
		t.Errorf("%d answers are kept, want %d", a.len(), answersKept)
	}
}
