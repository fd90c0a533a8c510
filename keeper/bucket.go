package keeper

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// headerVersion has a value's version in the bucket, as in the message that has set it.
const headerVersion = "Kset"

// storeTimeout is how long the server may take to confirm that it has stored something.
const storeTimeout = 10 * time.Second

// A Bucket is a key-value bucket of JetStream: under each key the last value of a subject, with its version in the header Kset. The
// key is the subject, with "=" and two hex digits for each byte that keys may not have.
type Bucket struct {
	name string
	js   jetstream.JetStream
}

// OpenBucket opens a bucket, and makes it if there is none. nc is the caller's to close.
func OpenBucket(ctx context.Context, nc *nats.Conn, name string) (*Bucket, error) {
	js, err := jetstream.New(nc, jetstream.WithPublishAsyncTimeout(storeTimeout))
	if err != nil {
		return nil, err
	}
	_, err = js.KeyValue(ctx, name)
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		_, err = js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: name, Description: "values that hubs have set", History: 1})
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %q: %w", name, err)
	}
	return &Bucket{name, js}, nil
}

func (b *Bucket) subject(key string) string { return "$KV." + b.name + "." + key }

// loadPatience is how long the next stored value is waited for.
const loadPatience = 10 * time.Second

// load reads what the bucket has. What somebody else has put there, without a version, is left out.
func (b *Bucket) load(ctx context.Context, log *slog.Logger) (values []hub.KeptValue, err error) {
	fail := func(err error) ([]hub.KeptValue, error) { return nil, fmt.Errorf("read bucket %q: %w", b.name, err) }
	stream, err := b.js.Stream(ctx, "KV_"+b.name)
	if err != nil {
		return fail(err)
	}
	if stream.CachedInfo().State.Msgs == 0 {
		return nil, nil
	}
	all, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy})
	if err != nil {
		return fail(err)
	}
	iterator, err := all.Messages()
	if err != nil {
		return fail(err)
	}
	defer iterator.Stop()
	for {
		next, cancel := context.WithTimeout(ctx, loadPatience)
		m, err := iterator.Next(jetstream.NextContext(next))
		cancel()
		if err != nil {
			return fail(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fail(err)
		}
		if v, ok := b.value(m); ok {
			values = append(values, v)
		} else if m.Headers().Get(jetstream.MarkerReasonHeader) == "" && m.Headers().Get("KV-Operation") == "" {
			log.Debug("a stored value without a version is left out", "bucket", b.name, "key", m.Subject())
		}
		if meta.NumPending == 0 {
			return values, nil
		}
	}
}

func (b *Bucket) value(m jetstream.Msg) (hub.KeptValue, bool) {
	version := m.Headers().Get(headerVersion)
	subject, err := subjectOf(strings.TrimPrefix(m.Subject(), b.subject("")))
	return hub.KeptValue{Subject: subject, Data: m.Data(), Version: version, Deleted: strings.HasSuffix(version, "-")}, err == nil && version != ""
}

// putAtOnce bounds the changes that are on their way to the server.
const putAtOnce = 256

// put stores changes, and takes out of them what is stored. Its error is that of the first that could not be: one that the
// bucket refuses keeps none of the others from it.
func (b *Bucket) put(ctx context.Context, changes map[string]change) error {
	var firstErr error
	failed := func(subject string, err error) {
		if firstErr == nil {
			firstErr = fmt.Errorf("store %s: %w", subject, err)
		}
	}
	sent := map[string]jetstream.PubAckFuture{}
	confirm := func() {
		for subject, ack := range sent {
			select {
			case <-ack.Ok():
				delete(changes, subject)
			case err := <-ack.Err():
				failed(subject, err)
			case <-ctx.Done():
				failed(subject, ctx.Err())
			}
		}
		clear(sent)
	}
	for subject, c := range changes {
		if ctx.Err() != nil {
			failed(subject, ctx.Err())
			break
		}
		m := nats.NewMsg(b.subject(keyOf(subject)))
		switch {
		case c.forget:
			m.Header.Set("KV-Operation", "PURGE")
			m.Header.Set("Nats-Rollup", "sub")
		case c.value.Deleted:
			m.Header.Set("KV-Operation", "DEL")
			fallthrough
		default:
			m.Header.Set(headerVersion, c.value.Version)
			m.Data = c.value.Data
		}
		ack, err := b.js.PublishMsgAsync(m)
		if err != nil {
			failed(subject, err)
			continue
		}
		if sent[subject] = ack; len(sent) == putAtOnce {
			confirm()
		}
	}
	confirm()
	return firstErr
}

// keyOf is a subject as a key: see [Bucket].
func keyOf(subject string) string {
	var key strings.Builder
	for i := range len(subject) {
		switch c := subject[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-', c == '_', c == '/', c == '.':
			key.WriteByte(c)
		default:
			fmt.Fprintf(&key, "=%02x", c)
		}
	}
	return key.String()
}

// subjectOf is the subject of a key.
func subjectOf(key string) (string, error) {
	var subject strings.Builder
	for i := 0; i < len(key); i++ {
		if key[i] != '=' {
			subject.WriteByte(key[i])
			continue
		}
		if i+3 > len(key) {
			return "", fmt.Errorf("the key %q ends within a character", key)
		}
		c, err := strconv.ParseUint(key[i+1:i+3], 16, 8)
		if err != nil {
			return "", fmt.Errorf("the key %q: %w", key, err)
		}
		subject.WriteByte(byte(c))
		i += 2
	}
	return subject.String(), nil
}
