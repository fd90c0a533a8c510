package hub

import "context"

// A Page is the web page that a hub runs in, or the Worker, as far as connections depend on
// it. Methods without a context do not wait.
type Page interface {
	// URL is the page's address, and whether it is a secure context.
	URL() (address string, secure bool)
	// Hidden says that nobody looks at the page: its timers may be a minute late.
	Hidden() bool
	// Permission is the state of a permission: "granted", "denied" or "prompt", or "" for one
	// that the browser does not know.
	Permission(ctx context.Context, name string) string
	// Prompt makes one request to an http, https, ws or wss URL, which may make the browser ask
	// its user for a permission. It returns when something has answered, with an error when
	// nothing did, and when ctx ends.
	Prompt(ctx context.Context, address string) error
	// MayPrompt is true once a page load: nobody wants to be asked twice without having clicked.
	MayPrompt() bool
	// Watch calls fn with what happens to the page, until stop. fn must not wait.
	Watch(fn func(PageEvent)) (stop func())
}

// A PageEvent is what happened to a page.
type PageEvent int

const (
	// PageShown: visible again, or back from the back-forward cache, or no longer frozen.
	PageShown PageEvent = iota
	// PageHidden: nobody looks at it any more.
	PageHidden
	// PageOnline: the browser believes that there is a network again.
	PageOnline
	// PagePermission: one of the permissions that were asked for has changed.
	PagePermission
)

// watchPage begins to listen to the page, if there is one, until the hub ends.
func (h *Hub) watchPage() {
	if h.cfg.Page == nil {
		return
	}
	stop := h.cfg.Page.Watch(func(e PageEvent) {
		switch e {
		case PagePermission:
			notify(h.permission)
		case PageHidden:
			notify(h.visibilityForPulse)
			notify(h.visibilityForDiscovery)
		case PageShown, PageOnline:
			notify(h.visibilityForPulse)
			notify(h.visibilityForDiscovery)
			h.CheckLink()
		}
	})
	h.wg.Go(func() {
		<-h.ctx.Done()
		stop()
	})
}

func (h *Hub) hidden() bool { return h.cfg.Page != nil && h.cfg.Page.Hidden() }

// notify leaves a token in a channel that has room for one.
func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
