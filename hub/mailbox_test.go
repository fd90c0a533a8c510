package hub

import "testing"

func TestConflatingKeepsTheLatestMessage(t *testing.T) {
	var b mailbox
	b.init()
	b.latest = true
	for _, data := range []string{"first", "second", "3"} {
		b.put(&Message{Data: []byte(data)})
	}
	batch, ok := b.take()
	if !ok || len(batch) != 1 || string(batch[0].Data) != "3" {
		t.Fatalf("got %d messages, want the last alone", len(batch))
	}
	b.reuse(batch)
	b.put(&Message{Data: []byte("4")})
	if batch, _ = b.take(); len(batch) != 1 || string(batch[0].Data) != "4" {
		t.Errorf("got %d messages, want the next one", len(batch))
	}
}
