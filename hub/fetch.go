package hub

// A document is what one HTTP GET brought.
type document struct {
	status      int
	contentType string
	date        string // as the server wrote it, or ""
	body        []byte // no more than manifestLimit+1 bytes, and only for the status 200
}
