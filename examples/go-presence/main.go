// Command go-presence says who comes to the scope «room», changes and leaves, and is there, too, with each line of standard
// input as its data; an empty line leaves. At the end of standard input it closes its hub, which others see at once.
//
//	go run ./examples/go-presence nats://127.0.0.1:4222
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "error: want one argument, the server's URL")
		os.Exit(2)
	}
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(server string) error {
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{server}})
	if err != nil {
		return err
	}
	defer h.Close()
	room := h.Scope("room").Presence()
	if _, err := room.OnChange(func(c hub.PresenceChange) {
		data, err := json.Marshal(c.Member.Data)
		if err != nil {
			data = []byte("?")
		}
		fmt.Println(c.Kind, c.Member.ID, string(data))
	}); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if lines.Text() == "" {
			err = room.Leave()
		} else {
			err = room.Join(lines.Text())
		}
		if err != nil {
			return err
		}
	}
	return lines.Err()
}
