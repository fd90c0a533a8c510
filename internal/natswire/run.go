package natswire

// takeRun makes a run of op, which has just been added, and of the messages that follow it, as long
// as their lines differ in the size at most, and their numbers, if text is the first one's, are in a
// row. What is wrong or incomplete is left to parse.
func (w *Conn) takeRun(op *operation, text []byte) {
	b, at := w.in[:w.to], w.from
	begin := b[at-op.size : at-len("\r\n")-len(op.data)-len("\r\n")-len(op.header)]
	for begin[len(begin)-1] != ' ' { // the size
		begin = begin[:len(begin)-1]
	}
	count := w.batch[len(w.batch)-1].Number.Count
	var head []byte // of the headers, up to the count
	digits := 0     // of the count
	if text != nil {
		for text[len(text)-1-digits] != '.' {
			digits++
		}
		head = op.header[:len(NumberLine)+len(text)-digits]
	}
	first := len(w.runs)
	w.runs = append(w.runs, op.data)
	for {
		i := at + len(begin)
		if i >= len(b) || string(b[at:i]) != string(begin) {
			break
		}
		size, from := 0, i
		for ; i < len(b) && b[i]-'0' <= 9; i++ {
			size = 10*size + int(b[i]-'0')
		}
		if i == from || i > from+len("999999999") {
			break
		}
		from = i + len("\r\n")
		to := from + size
		end := to + len("\r\n")
		if end > len(b) || b[i] != '\r' || b[i+1] != '\n' || b[to] != '\r' || b[to+1] != '\n' {
			break
		}
		if text != nil {
			header := len(head) + digits + len("\r\n\r\n")
			if size < header || string(b[from:from+len(head)]) != string(head) || string(b[from+header-4:from+header]) != "\r\n\r\n" {
				break
			}
			if n, ok := Parse62(b[from+len(head) : from+len(head)+digits]); !ok || n != count+1 {
				break
			}
			count++
			from += header
		}
		w.runs = append(w.runs, b[from:to])
		at = end
	}
	w.from = at
	m := &w.batch[len(w.batch)-1]
	m.Data, m.Run = nil, w.runs[first:len(w.runs):len(w.runs)]
}
