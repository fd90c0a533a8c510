package hub_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// exampleServer stands for a server that runs already.
func exampleServer() (url string, stop func()) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true})
	if err != nil {
		log.Fatal(err)
	}
	go s.Start()
	if !s.ReadyForConnections(10 * time.Second) {
		log.Fatal("nats-server did not start")
	}
	return s.ClientURL(), func() {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

func Example() {
	url, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()

	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	battery := h.Scope("robot").Variable("battery")
	heard := make(chan any)
	if _, err := battery.Sub(ctx, func(m *hub.Message) { heard <- m.Value() }); err != nil {
		log.Fatal(err)
	}
	if err := battery.Pub(ctx, 87); err != nil {
		log.Fatal(err)
	}
	fmt.Println("heard", <-heard, "value", battery.Value())
	// Output: heard 87 value 87
}

func ExampleVariable_Serve() {
	url, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()

	double := h.Scope("math").Variable("double")
	service, err := double.Serve(ctx, func(_ context.Context, m *hub.Message) (any, error) {
		n, ok := m.Value().(float64)
		if !ok {
			return nil, &hub.ServiceError{Code: "400", Message: "not a number"}
		}
		return 2 * n, nil
	})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := double.Req(ctx, 21)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.Value())

	var failed *hub.ServiceError
	if _, err := double.Req(ctx, "x"); errors.As(err, &failed) {
		fmt.Println(failed.Code, failed.Message)
	}

	// What was asked before is answered before Drain returns.
	if err := service.Drain(ctx); err != nil {
		log.Fatal(err)
	}
	_, err = double.Req(ctx, 21)
	fmt.Println(hub.Code(err))
	// Output:
	// 42
	// 400 not a number
	// NO_RESPONDERS
}

func ExampleTypedVariable() {
	url, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()

	type pose struct{ X, Y float64 }
	v := hub.TypedVariable[pose](h.Scope("robot"), "pose")
	if err := v.Pub(ctx, pose{1, 2}); err != nil {
		log.Fatal(err)
	}
	p, known := v.Get()
	fmt.Println(p.X, p.Y, known)
	// Output: 1 2 true
}

func ExampleVariable_Watch() {
	url, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()

	light := h.Scope("kitchen").Variable("light")
	changes := make(chan any)
	end, err := light.Watch(func(value any) { changes <- value })
	if err != nil {
		log.Fatal(err)
	}
	defer end()
	for _, value := range []string{"on", "on", "off"} { // a repetition is no change
		if err := light.Pub(ctx, value); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(<-changes, <-changes)
	// Output: on off
}

func ExampleHub_Messages() {
	url, stop := exampleServer()
	defer stop()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	h, err := hub.Open(context.Background(), hub.Config{Servers: []string{url}})
	if err != nil {
		log.Fatal(err)
	}
	defer h.Close()
	go func() {
		for n := 0; ctx.Err() == nil; n++ {
			h.Scope("sensors").Variable("temp").Pub(ctx, "warm") // an error is told by ctx here
			time.Sleep(time.Millisecond)
		}
	}()
	for m, err := range h.Messages(ctx, "sensors.*", hub.SubOptions{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(m.Subject, m.Value())
		break
	}
	// Output: sensors.temp warm
}

func ExamplePermissionError() {
	err := error(&hub.PermissionError{Subject: "secret.>", Server: "nats://localhost:4222"})
	var denied *hub.PermissionError
	if errors.As(err, &denied) && !denied.Publish {
		fmt.Println("may not hear", denied.Subject, hub.Code(err))
	}
	// Output: may not hear secret.> PERMISSION_DENIED
}
