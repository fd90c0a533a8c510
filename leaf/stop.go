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
		l.stopping()
		l.setPhase(PhaseStopping)
		l.life.Lock() // What is being started is done.
		l.sendAway(ctx)
		if l.disc != nil {
			l.disc.stop()
		}
		l.life.Unlock()
		l.probes.Wait()
		l.mu.Lock()
		l.phase, l.connections, l.rtt = PhaseStopped, 0, nil
		l.mu.Unlock()
		close(l.quit)
		<-l.watched
		l.web.close()
		l.dir.remove()
		close(l.stopped)
	})
	<-l.stopped
}

// sendAway ends the server: clients are told first, and have a moment. The caller
// holds life.
func (l *Leaf) sendAway(ctx context.Context) {
	srv := l.srv
	if srv == nil {
		return
	}
	l.endKeeper()
	l.her.gone()
	lame := make(chan struct{})
	go func() {
		defer close(lame)
		srv.LameDuckShutdown() // Returns when the server is shut down, by itself or below.
	}()
	awaitLeaving(ctx, srv)
	if end(srv) {
		<-lame
	}
}

// awaitLeaving returns when no client is connected, time is up, or ctx has ended.
func awaitLeaving(ctx context.Context, srv *natsServer) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	look := time.NewTicker(leaveLook)
	defer look.Stop()
	for srv.NumClients() > 0 {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
		}
	}
}
