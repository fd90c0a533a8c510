package keeper_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
	"github.com/kinopio-hub/kinopio-hub/v3/keeper"
)

func TestMain(m *testing.M) {
	http.DefaultTransport.(*http.Transport).DisableKeepAlives = true
	goleak.VerifyTestMain(m)
}

func start(t *testing.T, change func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{Host: "127.0.0.1", Port: -1, NoSigs: true, NoLog: true}
	if change != nil {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("nats-server did not start")
	}
	return s
}

func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited a minute for %s", what)
		}
	}
}

// with lets f use the values of a hub that lives no longer than f.
func with(t *testing.T, s *server.Server, f func(*hub.Scope)) {
	t.Helper()
	h, err := hub.Open(t.Context(), hub.Config{Servers: []string{s.ClientURL()}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	f(h.Scope("s"))
	if err := h.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
}

func set(t *testing.T, s *server.Server, name string, value any) {
	t.Helper()
	with(t, s, func(scope *hub.Scope) {
		v := scope.Variable(name)
		var err error
		if value == nil {
			err = v.Delete(soon(t))
		} else {
			err = v.Set(soon(t), value)
		}
		if err != nil {
			t.Fatal(err)
		}
	})
}

// is says what somebody sees who comes now.
func is(t *testing.T, s *server.Server, name string, want any) {
	t.Helper()
	with(t, s, func(scope *hub.Scope) {
		v := scope.Variable(name)
		if err := v.Ready(soon(t)); err != nil || fmt.Sprint(v.Value()) != fmt.Sprint(want) {
			t.Errorf("%s is %v (%v), want %v", name, v.Value(), err, want)
		}
	})
}

func open(t *testing.T, s *server.Server, c keeper.Config) *keeper.Keeper {
	t.Helper()
	c.Hub.Servers = []string{s.ClientURL()}
	k, err := keeper.Open(soon(t), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	if err := k.Ready(soon(t)); err != nil {
		t.Fatal(err)
	}
	return k
}

func stored(t *testing.T, k *keeper.Keeper, values int) {
	t.Helper()
	waitFor(t, "the values to be stored", func() bool { s := k.Status(); return s.Values == values && s.Unstored == 0 })
}

// What is kept in a folder outlives programs, the keeper and the server.
func TestValuesInAFolderOutliveTheKeeper(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "values")
	for round := range 3 {
		s := start(t, nil)
		d, err := keeper.OpenDir(soon(t), dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := keeper.OpenDir(soon(t), dir); err == nil || !strings.Contains(err.Error(), "in use by another program") {
			t.Errorf("the same folder once more: got %v", err)
		}
		k := open(t, s, keeper.Config{Bucket: d.Bucket})
		if round == 0 {
			set(t, s, "battery", 0.5)
			set(t, s, "left", "x")
			set(t, s, "left", nil)
			set(t, s, "ö=x", []byte{0, 1, 255})
		} else {
			is(t, s, "battery", 0.5+float64(round-1))
			is(t, s, "left", nil)
			is(t, s, "ö=x", []byte{0, 1, 255})
			set(t, s, "battery", 0.5+float64(round))
			is(t, s, "battery", 0.5+float64(round))
		}
		if round == 0 {
			stored(t, k, 3)
		}
		k.Close() // What is not stored yet is stored now.
		d.Close()
		s.Shutdown()
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder has the mode %v, %v: want 0700", info.Mode(), err)
	}
}

// In a bucket of a NATS system plain clients read the values.
func TestValuesInABucketAreReadByPlainClients(t *testing.T) {
	s := start(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	bucket, err := keeper.OpenBucket(soon(t), nc, "values")
	if err != nil {
		t.Fatal(err)
	}
	k := open(t, s, keeper.Config{Bucket: bucket, Patterns: []string{"s.>"}, MaxValues: 4})
	set(t, s, "a", map[string]any{"x": 1})
	set(t, s, "b", "gone")
	set(t, s, "b", nil)
	stored(t, k, 2)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(soon(t), "values")
	if err != nil {
		t.Fatal(err)
	}
	if e, err := kv.Get(soon(t), "s.a"); err != nil || string(e.Value()) != `{"x":1}` {
		t.Errorf("s.a is %v, %v", e, err)
	}
	if e, err := kv.Get(soon(t), "s.b"); err == nil {
		t.Errorf("s.b, which was deleted, is %q", e.Value())
	}
	if _, err := kv.Put(soon(t), "s.foreign", []byte("put by somebody else")); err != nil {
		t.Fatal(err)
	}
	for i := range 4 { // The oldest go, from the bucket, too.
		set(t, s, fmt.Sprint("n", i), i)
	}
	stored(t, k, 4)
	if _, err := kv.Get(soon(t), "s.a"); err == nil {
		t.Error("s.a, which had to go, is still there")
	}
	k.Close()
	// A second keeper of the same bucket begins with what is there.
	second := open(t, s, keeper.Config{Bucket: bucket, Patterns: []string{"s.>"}})
	is(t, s, "n3", 3)
	if got := second.Status(); got.Values != 4 {
		t.Errorf("it has %+v, want 4 values", got)
	}
}

// While nothing can be stored values are kept in memory, it is told, and they are stored later.
func TestWhatCannotBeStoredIsStoredLater(t *testing.T) {
	dir := t.TempDir()
	storage := start(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, dir })
	port := storage.Addr().String()
	nc, err := nats.Connect("nats://"+port, nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	bucket, err := keeper.OpenBucket(soon(t), nc, "values")
	if err != nil {
		t.Fatal(err)
	}
	s := start(t, nil)
	k := open(t, s, keeper.Config{Bucket: bucket})
	set(t, s, "before", 1)
	stored(t, k, 1)
	storage.Shutdown()
	storage.WaitForShutdown()
	set(t, s, "meanwhile", 2)
	waitFor(t, "the keeper to say that it cannot store", func() bool { got := k.Status(); return got.Unstored == 1 && got.LastError != "" })
	is(t, s, "meanwhile", 2)
	_, number, _ := strings.Cut(port, ":")
	start(t, func(o *server.Options) {
		fmt.Sscan(number, &o.Port)
		o.JetStream, o.StoreDir = true, dir
	})
	stored(t, k, 2)
	if got := k.Status(); got.LastError != "" {
		t.Errorf("everything is stored, and it says %q", got.LastError)
	}
}

func TestFoldersThatCannotBeUsed(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	linked := t.TempDir()
	if err := os.Symlink(file, filepath.Join(linked, "keeper.lock")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{file, linked} {
		if d, err := keeper.OpenDir(soon(t), path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v", path, err)
			if err == nil {
				d.Close()
			}
		}
	}
}

// A value that the bucket does not take is kept in memory, told, and keeps no other from being stored.
func TestValueThatABucketRefusesKeepsNoOtherFromIt(t *testing.T) {
	s := start(t, func(o *server.Options) { o.JetStream, o.StoreDir = true, t.TempDir() })
	nc, err := nats.Connect(s.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateKeyValue(soon(t), jetstream.KeyValueConfig{Bucket: "small", MaxValueSize: 100}); err != nil {
		t.Fatal(err)
	}
	bucket, err := keeper.OpenBucket(soon(t), nc, "small")
	if err != nil {
		t.Fatal(err)
	}
	k := open(t, s, keeper.Config{Bucket: bucket})
	set(t, s, "large", strings.Repeat("x", 1000))
	for i := range 3 {
		set(t, s, fmt.Sprint("n", i), i)
	}
	waitFor(t, "all others to be stored", func() bool { got := k.Status(); return got.Values == 4 && got.Unstored == 1 })
	if got := k.Status(); !strings.Contains(got.LastError, "s.large") {
		t.Errorf("it says %q, want which value is not stored", got.LastError)
	}
}
