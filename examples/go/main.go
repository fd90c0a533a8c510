// Command go is a service and its customer: a function far away, and a value that is shared.
package main

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

func main() {
	server := "nats://demo.nats.io:4222"
	if len(os.Args) > 1 {
		server = os.Args[1]
	}
	if err := run(context.Background(), server); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, server string) error {
	h, err := hub.Open(ctx, hub.Config{Servers: []string{server}})
	if err != nil {
		return err
	}
	defer h.Close()
	double := h.Scope("math").Variable("double")
	if _, err := double.Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) {
		n, ok := m.Value().(float64)
		if !ok {
			return nil, fmt.Errorf("double %v: want a number", m.Value())
		}
		return 2 * n, nil
	}); err != nil {
		return err
	}
	answer, err := double.Req(ctx, 21)
	if err != nil {
		return err
	}
	fmt.Println("answer", answer.Value())

	battery := h.Scope("robot").Variable("battery")
	if err := battery.Pub(ctx, 87); err != nil {
		return err
	}
	fmt.Println("battery", battery.Value())
	return nil
}
