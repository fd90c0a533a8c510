package natswire

import "testing"

func TestNumbersAreReadAsTheyAreWritten(t *testing.T) {
	for _, n := range []Number{{StreamOf(1, 1), 1}, {StreamOf(NewPublisher(), 1<<StreamBits-1), MaxCount}, {StreamOf(pow62[7]-1, 61), 62}} {
		text := AppendNumber(nil, n)
		if got, ok := ParseNumber(text); !ok || got != n {
			t.Errorf("%s: got %v %v, want %v", text, got, ok, n)
		}
		m := Msg{Subject: "a", Data: []byte("x"), Number: n}
		if head := appendPubHead(nil, &m); len(head)+1 > len("HPUB a 00 00\r\n")+NumberSize+1 {
			t.Errorf("%q is longer than numberSize says", head)
		}
	}
	// What most messages have: a header of no more than 35 bytes.
	head := appendPubHead(nil, &Msg{Subject: "a", Number: Number{StreamOf(NewPublisher(), 5), 100_000}})
	if size := len(head) - len("PUB a 0\r\n"); size > 36 {
		t.Errorf("%q: %d bytes more than without a number", head, size)
	}
	for _, bad := range []string{"", ".", "0000000.1", "00000011", "0000001.1", "00000011.", "00000011.0", "0000001é.1", "00000011.zzzzzzzzzzz", "00000011.zzzzzzzzzzzz", "0000001zzzzz.1"} {
		if n, ok := ParseNumber(bad); ok {
			t.Errorf("%q is read as %v", bad, n)
		}
	}
}
