package leaf

import (
	"context"
	"time"
)

const (
	// For so long clients may move away before they are cut.
	leaveTime = 1600 * time.Millisecond
	leaveLook = 10 * time.Millisecond
)

// Stop ends the leaf so that nobody is surprised, within two seconds: the manifest
// says that there is no leader (204), clients are told to leave (lame duck) while the
// bridge still carries their messages, and as soon as none is left, or after 1.6 s,
// the rest is cut. When Stop returns, every goroutine, listener and file of the leaf
// is gone.
//
// When ctx ends first, clients are cut at once; Stop still waits until all is gone,
// which takes milliseconds. Later and concurrent calls wait for the first one.
func (l *Leaf) Stop(ctx context.Context) {
	l.stop.Do(func() {
		l.setPhase(PhaseStopping)

		lame := make(chan struct{})
		go func() {
			defer close(lame)
			l.srv.LameDuckShutdown() // Returns when the server is shut down, by itself or below.
		}()
		l.awaitLeaving(ctx)
		l.srv.Shutdown()
		l.srv.WaitForShutdown()
		<-lame

		l.disc.stop()
		l.mu.Lock()
		l.phase, l.connections, l.rtt = PhaseStopped, 0, nil
		l.mu.Unlock()
		close(l.quit)
		<-l.watched
		l.dir.remove()
		close(l.stopped)
	})
	<-l.stopped
}

// awaitLeaving returns when no client is connected, time is up, or ctx has ended.
func (l *Leaf) awaitLeaving(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	look := time.NewTicker(leaveLook)
	defer look.Stop()
	for l.srv.NumClients() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}
