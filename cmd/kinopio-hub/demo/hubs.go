package demo

import (
	"context"
	"crypto/tls"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// hubs are the native programs that the page talks to.
type hubs struct {
	all    []*hub.Hub
	stop   context.CancelFunc
	ending sync.WaitGroup
}

func (h *hubs) close() {
	h.stop()
	h.ending.Wait()
	for _, each := range h.all {
		each.Close()
	}
}

// openHubs starts a publisher on the backbone, a publisher that is on the leaf whenever there
// is one, and a service that moves likewise.
func (d *demo) openHubs(ctx context.Context) (_ *hubs, err error) {
	ctx, stop := context.WithCancel(ctx)
	h := &hubs{stop: stop}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	open := func(who string, discovery bool) (*hub.Hub, error) {
		each, err := hub.Open(context.WithoutCancel(ctx), hub.Config{
			Servers:   []string{d.backbone.clientURL},
			Selection: hub.Ordered,
			Name:      "demo-" + who,
			TLS:       d.nativeTLS(),
			Discovery: d.discovery(discovery),
			Logger:    d.cfg.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("open the hub %s: %w", who, err)
		}
		h.all = append(h.all, each)
		if discovery {
			each.OnMove(func(m hub.Move) { d.events.publish(event{Event: "move", Move: nativeMove(who, m)}) })
		}
		wait, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		if err := each.Connected(wait); err != nil {
			return nil, fmt.Errorf("connect the hub %s: %w", who, err)
		}
		return each, nil
	}
	far, err := open("backbone", false)
	if err != nil {
		return nil, err
	}
	near, err := open("publisher", true)
	if err != nil {
		return nil, err
	}
	service, err := open("service", true)
	if err != nil {
		return nil, err
	}
	if _, err := service.Scope("demo").Variable("greet").Serve(ctx, greet(service)); err != nil {
		return nil, fmt.Errorf("serve demo.greet: %w", err)
	}
	half := d.cfg.Rate / 2
	h.ending.Go(func() { publishStream(ctx, far, "numbers.backbone", half) })
	h.ending.Go(func() { publishStream(ctx, near, "numbers.leaf", half) })
	h.ending.Go(func() { publishSignal(ctx, far.Scope("demo").Variable("signal")) })
	return h, nil
}

// discovery is how native hubs find the leaf.
func (d *demo) discovery(enabled bool) hub.Discovery {
	found := hub.Discovery{Enabled: enabled, CacheTTL: manifestEvery}
	if g := d.guests; g != nil {
		found.Namespace, found.NamespaceKey = namespace, g.namespaceKey
	} else {
		found.ManifestURL = d.leaf.manifestURL
	}
	return found
}

// nativeTLS makes the native hubs trust the local CA, whatever this machine trusts.
func (d *demo) nativeTLS() *tls.Config {
	if d.roots == nil {
		return nil
	}
	return &tls.Config{RootCAs: d.roots, MinVersion: tls.VersionTLS12}
}

// nativeMove is m as an event of the hub called who.
func nativeMove(who string, m hub.Move) *moveEvent {
	ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
	e := &moveEvent{
		Who: who, From: m.From, To: m.To, Via: m.Via, Reason: m.Reason,
		Planned: m.Planned, TookMs: ms(m.Took), HeldMs: ms(m.Held),
	}
	if m.Err != nil {
		e.Error = m.Err.Error()
	}
	return e
}

// greeting is what demo.greet answers.
type greeting struct {
	Text   string    `json:"text"`
	Time   time.Time `json:"time"`
	Server string    `json:"server"`
	Via    string    `json:"via"`
}

// greet is the function that the page calls; it answers from wherever its hub is just now.
func greet(h *hub.Hub) func(context.Context, *hub.Message) (any, error) {
	return func(_ context.Context, m *hub.Message) (any, error) {
		name, _ := m.Value().(string)
		if name == "" {
			name = "you"
		}
		now := h.Status()
		return greeting{Text: "Hello, " + name + ".", Time: time.Now(), Server: now.Server, Via: now.Via}, nil
	}
}

// publishSignal moves a live value along a smooth curve, 25 times a second, until ctx ends.
func publishSignal(ctx context.Context, v *hub.Variable) {
	ticker := time.NewTicker(40 * time.Millisecond)
	defer ticker.Stop()
	for begin := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		t := time.Since(begin).Seconds()
		y := 0.62*math.Sin(t*0.9) + 0.26*math.Sin(t*2.3+1) + 0.12*math.Sin(t*5.1+2)
		// A value that could not be sent is old by the time it could be.
		_ = v.Pub(ctx, math.Round(y*1000)/1000)
	}
}
