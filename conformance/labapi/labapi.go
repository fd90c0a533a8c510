// Package labapi is what a lab of the conformance suite and its runners say to each other. It is
// apart from the lab, so that a program for a browser need not link a nats-server.
package labapi

// A Command is what a runner asks for. Do is one of
//
//	open      start a server: Scheme, MaxPayload, Token, User, Password → Server, URL, CA
//	close     end Server and its clients for good
//	stop      stop Server; start begins it again on the same ports
//	start
//	kick      cut the connections of all clients but the lab's own
//	silence   those that are connected hear no more of Server, and are not told
//	clients   count them → Count, Names
//	subscribe plain subscription on Message.Subject, in group Queue → Sub
//	next      wait for the next message of Sub → Message
//	publish   Message
//	request   Message → Message
//	serve     answer every request on Message.Subject with each of Answers; with none, never
type Command struct {
	Do       string    `json:"do"`
	Server   int       `json:"server"`
	Scheme   string    `json:"scheme"` // "nats" (the default), "ws" or "wss"
	Settings Settings  `json:"settings"`
	Sub      int       `json:"sub"`
	Queue    string    `json:"queue"`
	Message  Message   `json:"message"`
	Answers  []Message `json:"answers"`
	WaitMS   int       `json:"waitMs"` // for next and request; default 5000
}

// Settings are a server's, where a scenario needs other ones than nats-server's defaults.
type Settings struct {
	MaxPayload int32  `json:"maxPayload"`
	Token      string `json:"token"`
	User       string `json:"user"`
	Password   string `json:"password"`
	// Publish and Subscribe are all that the user may, if either is there; the plain client may everything.
	Publish   []string `json:"publish"`
	Subscribe []string `json:"subscribe"`

	Nkey        string `json:"nkey"`        // the public key of the only user
	Silenceable bool   `json:"silenceable"` // silence works
}

// A Message is one on the wire: Data is base64 in JSON.
type Message struct {
	Subject string              `json:"subject"`
	Reply   string              `json:"reply"`
	Headers map[string][]string `json:"headers"`
	Data    []byte              `json:"data"`
}

// A Result is a command's outcome; Error is empty if it was done.
type Result struct {
	Error   string   `json:"error"`
	Server  int      `json:"server"`
	URL     string   `json:"url"`
	CA      string   `json:"ca"` // PEM, for wss
	Count   int      `json:"count"`
	Names   []string `json:"names"`
	Sub     int      `json:"sub"`
	Message *Message `json:"message"`
}
