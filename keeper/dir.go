package keeper

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/kinopio-hub/kinopio-hub/v3/internal/filelock"
)

// DirBucket is the name of the bucket in a folder.
const DirBucket = "kinopio"

const dirReady = 10 * time.Second

// A Dir is a folder that values are stored in: the JetStream of a server of its own, which nobody else can reach.
type Dir struct {
	Bucket *Bucket
	lock   *filelock.Lock
	srv    *server.Server
	nc     *nats.Conn
}

// OpenDir opens a folder, and makes it if there is none. One program at a time may have it.
func OpenDir(ctx context.Context, path string) (*Dir, error) {
	d := &Dir{}
	if err := d.open(ctx, path); err != nil {
		d.Close()
		return nil, fmt.Errorf("folder for values %s: %w", path, err)
	}
	return d, nil
}

func (d *Dir) open(ctx context.Context, path string) error {
	err := os.MkdirAll(path, 0o700)
	if err != nil {
		return err
	}
	file := filepath.Join(path, "keeper.lock")
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file (%v): remove it, or give another folder", file, info.Mode().Type())
	}
	d.lock = filelock.New(file, 0)
	switch ok, err := d.lock.Try(); {
	case err != nil:
		return err
	case !ok:
		return errors.New("in use by another program: give each keeper its own")
	}
	d.srv, err = server.NewServer(&server.Options{
		ServerName: "kinopio-keeper", DontListen: true, NoSigs: true, NoLog: true,
		JetStream: true, StoreDir: path, JetStreamMaxStore: 1 << 40, SyncInterval: 10 * time.Second,
	})
	if err != nil {
		return err
	}
	d.srv.Start()
	if !d.srv.ReadyForConnections(dirReady) || !d.srv.JetStreamEnabled() {
		return errors.New("its JetStream does not start: is the disk full, or is something else in the folder?")
	}
	if d.nc, err = nats.Connect("", nats.InProcessServer(d.srv), nats.Name("kinopio-keeper")); err != nil {
		return err
	}
	d.Bucket, err = OpenBucket(ctx, d.nc, DirBucket)
	return err
}

// Close ends it. Everything that was stored is on the disk then.
func (d *Dir) Close() {
	if d.nc != nil {
		d.nc.Close()
	}
	if d.srv != nil {
		d.srv.Shutdown()
		d.srv.WaitForShutdown()
	}
	if d.lock != nil {
		_ = d.lock.Release() // Its file is this folder's, and is not written to.
	}
}
