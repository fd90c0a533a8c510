package election_test

import (
	"context"
	"fmt"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election"
)

// A starter that knows how to run a leaf; leaf.Start of this module is one way.
type starter struct{}

func (starter) Start(context.Context, election.Term) (election.Leaf, error) {
	return nil, fmt.Errorf("no leaf in an example")
}

func ExampleEnable() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	agent, err := election.Enable(ctx, election.Config{
		DiscoveryNamespace: "studio",
		BackboneServers:    []string{"nats://backbone.example.com:7422"},
		Starter:            starter{},
		OnChange:           func(s election.AgentStatus) { fmt.Println(s.State, s.LeaderEpoch) },
	})
	if err != nil {
		fmt.Println("error:", err)
		return
	}
	defer agent.Stop(context.Background())
	<-ctx.Done() // takes part until then
}
