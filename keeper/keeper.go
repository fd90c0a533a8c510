// Package keeper remembers the values that hubs set, so that they outlive the last program that knew them: in memory, and
// where it is given a bucket, in JetStream, so that they outlive the keeper, too, and plain NATS clients can read them.
package keeper

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// Config says what is kept, and where.
type Config struct {
	// Hub is how the keeper is connected.
	Hub hub.Config
	// Patterns, MaxValues and MaxBytes are those of [hub.KeepOptions].
	Patterns            []string
	MaxValues, MaxBytes int
	// Bucket, if set, has what was kept before, and gets each change.
	Bucket *Bucket
	// Logger hears what cannot be stored; nil is silent.
	Logger *slog.Logger
}

// Status is what a keeper has.
type Status struct {
	hub.KeeperStatus
	// Connected says whether the keeper hears what is set.
	Connected bool
	// Unstored is how many changes are still to be stored, and LastError why the last could not be; "" if it could.
	Unstored  int
	LastError string
}

// A Keeper keeps, until Close.
type Keeper struct {
	hub    *hub.Hub
	keeper *hub.Keeper
	bucket *Bucket
	log    *slog.Logger

	hears   atomic.Bool // The server has once confirmed that it sends what is set.
	ctx     context.Context
	cancel  context.CancelFunc
	writing sync.WaitGroup

	mu    sync.Mutex
	dirty map[string]change // the latest of each subject
	going int               // how many are being stored
	wake  chan struct{}
	err   error
}

// A change is what is to be stored: a value, or that it is forgotten.
type change struct {
	value  hub.KeptValue
	forget bool
}

// Open begins to keep: what the bucket has is known at once, what is set elsewhere when there is a connection, which Open does
// not wait for. ctx bounds the reading of the bucket.
func Open(ctx context.Context, c Config) (*Keeper, error) {
	k := &Keeper{bucket: c.Bucket, log: c.Logger, dirty: map[string]change{}, wake: make(chan struct{}, 1)}
	if k.log == nil {
		k.log = slog.New(slog.DiscardHandler)
	}
	var before []hub.KeptValue
	if k.bucket != nil {
		var err error
		if before, err = k.bucket.load(ctx, k.log); err != nil {
			return nil, fmt.Errorf("keep: %w", err)
		}
	}
	k.ctx, k.cancel = context.WithCancel(context.Background())
	var err error
	if k.hub, err = hub.Open(k.ctx, c.Hub); err != nil {
		k.cancel()
		return nil, fmt.Errorf("keep: %w", err)
	}
	options := hub.KeepOptions{Patterns: c.Patterns, MaxValues: c.MaxValues, MaxBytes: c.MaxBytes}
	if k.bucket != nil {
		options.Changed = func(v hub.KeptValue) { k.note(v.Subject, change{value: v}) }
		options.Evicted = func(subject string) { k.note(subject, change{forget: true}) }
	}
	if k.keeper, err = k.hub.Keep(options); err != nil {
		k.hub.Close()
		k.cancel()
		return nil, err
	}
	for _, v := range before {
		if err := k.keeper.Restore(v); err != nil {
			k.log.Warn("a stored value is left out", "bucket", k.bucket.name, "error", err)
		}
	}
	if k.bucket != nil {
		k.writing.Go(k.write)
	}
	k.writing.Go(func() { k.hears.Store(k.keeper.Ready(k.ctx) == nil) })
	return k, nil
}

// Ready returns when the keeper hears what is set.
func (k *Keeper) Ready(ctx context.Context) error {
	if err := k.hub.Connected(ctx); err != nil {
		return err
	}
	return k.keeper.Ready(ctx)
}

// note has a change stored.
func (k *Keeper) note(subject string, c change) {
	k.mu.Lock()
	k.dirty[subject] = c // As many as there are values at most, and those that have just gone.
	k.mu.Unlock()
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

const (
	storePause     = 100 * time.Millisecond // After a failure, doubled up to
	storePauseMost = 10 * time.Second
	storeAtEnd     = time.Second // For what is still to be stored when the keeper is closed.
)

// write stores what has changed.
func (k *Keeper) write() {
	pause := storePause
	for {
		err := k.store(k.ctx)
		wait := time.Hour
		if k.ctx.Err() != nil {
			ctx, cancel := context.WithTimeout(context.Background(), storeAtEnd)
			defer cancel()
			if err := k.store(ctx); err != nil {
				k.log.Warn("the last changes of values are not stored", "bucket", k.bucket.name, "error", err)
			}
			return
		}
		if err != nil {
			k.log.Warn("a value is not stored yet", "bucket", k.bucket.name, "error", err)
			wait, pause = pause, min(2*pause, storePauseMost)
		} else {
			pause = storePause
		}
		timer := time.NewTimer(wait)
		select {
		case <-k.wake:
			if err != nil { // It is tried again when its time has come, however much changes.
				select {
				case <-timer.C:
				case <-k.ctx.Done():
				}
			}
		case <-timer.C:
		case <-k.ctx.Done():
		}
		timer.Stop()
	}
}

// store stores all that has changed; what it cannot store is to be stored still.
func (k *Keeper) store(ctx context.Context) error {
	k.mu.Lock()
	todo := k.dirty
	k.dirty, k.going = map[string]change{}, len(todo)
	k.mu.Unlock()
	err := k.bucket.put(ctx, todo) // It takes out what it has stored.
	k.mu.Lock()
	defer k.mu.Unlock()
	k.err, k.going = err, 0
	for subject, c := range todo {
		if _, newer := k.dirty[subject]; !newer {
			k.dirty[subject] = c
		}
	}
	return err
}

// Status says what is kept.
func (k *Keeper) Status() Status {
	s := Status{KeeperStatus: k.keeper.Status(), Connected: k.hears.Load() && k.hub.State() == hub.StateConnected}
	k.mu.Lock()
	defer k.mu.Unlock()
	s.Unstored = len(k.dirty) + k.going
	if k.err != nil {
		s.LastError = k.err.Error()
	}
	return s
}

// Close stores what is still to be stored, within a second, and ends.
func (k *Keeper) Close() {
	k.keeper.Close()
	k.hub.Close()
	k.cancel()
	k.writing.Wait()
}
