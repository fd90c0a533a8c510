//go:build !js

package hub

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// What is the same in a row is one run, however it arrives; what differs in more than size is not.
func TestProtoFindsRuns(t *testing.T) {
	large := strings.Repeat("x", 1000)
	text := "MSG a.b 1 1\r\nx\r\nMSG a.b 1 0\r\n\r\nMSG a.b 1 1000\r\n" + large + "\r\nMSG a.b 1 2\r\n\r\n\r\n" +
		"MSG a.b 2 1\r\nq\r\nMSG a.c 2 1\r\nr\r\nMSG a.c 2 1\r\ns\r\nMSG a.c 2 re 1\r\nt\r\nMSG a.c 2 re 1\r\nu\r\n" +
		"HMSG a.c 2 12 12\r\nNATS/1.0\r\n\r\n\r\nMSG a.c 2 1\r\nv\r\nMSG a.c 2 1\r\nw\r\nPING\r\nMSG a.c 2 1\r\nx\r\n"
	want := []string{"a.b 1,0,1000,2", "a.b 1", "a.c 1,1", "a.c 1", "a.c 1", "a.c 0", "a.c 1,1", "a.c 1"}
	c := &counted{}
	w := listener(&chunked{}, &c.heard)
	w.receiver = c
	copy(w.Room(len(text)), text)
	w.Filled(len(text))
	if !reflect.DeepEqual(c.runs, want) {
		t.Errorf("runs are %q, want %q", c.runs, want)
	}
	whole := c.said
	for cut := range text {
		c := &counted{}
		w := listener(&chunked{}, &c.heard)
		w.receiver = c
		for _, part := range []string{text[:cut], text[cut:]} {
			copy(w.Room(len(part)), part)
			w.Filled(len(part))
		}
		if w.over || !reflect.DeepEqual(c.said, whole) {
			t.Fatalf("cut after %d bytes: got %.300q, %v; want %.300q", cut, c.said, w.err, whole)
		}
	}
	// What goes wrong within a run ends it, and the connection.
	for _, bad := range []string{"MSG a.b 1 2\r\nx\r\nPING\r\n", "MSG a.b 1 x\r\n", "MSG a.b 1 \r\n", "MSG a.b 1 99999999999\r\n", "MSG a.b 1 1\rxx\r\n"} {
		got := hear([]byte("MSG a.b 1 1\r\nx\r\nMSG a.b 1 1\r\ny\r\n"+bad), 1<<20)
		if len(got) != 3 || !strings.Contains(got[2], errProto.Error()) {
			t.Errorf("%q after a run: heard %q, want two messages and %q", bad, got, errProto)
		}
	}
}

// counted notes the sizes of runs, too.
type counted struct {
	heard
	runs []string
}

func (c *counted) receive(batch []inbound) bool {
	for i := range batch {
		run := batch[i].run
		if run == nil {
			run = [][]byte{batch[i].data}
		}
		var sizes []string
		for _, data := range run {
			sizes = append(sizes, fmt.Sprint(len(data)))
		}
		c.runs = append(c.runs, batch[i].subject+" "+strings.Join(sizes, ","))
	}
	return c.heard.receive(batch)
}
