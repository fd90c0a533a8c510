package hub

import "context"

// Typed is a variable whose values have one Go type.
type Typed[T any] struct{ *Variable }

// TypedVariable gives the variable name in s values of type T.
func TypedVariable[T any](s *Scope, name string, options ...VariableOptions) Typed[T] {
	return Typed[T]{s.Variable(name, options...)}
}

// Pub sends value. See [Variable.Pub].
func (v Typed[T]) Pub(ctx context.Context, value T, options ...PubOptions) error {
	return v.Variable.Pub(ctx, value, options...)
}

// Set makes value the value. See [Variable.Set].
func (v Typed[T]) Set(ctx context.Context, value T) error { return v.Variable.Set(ctx, value) }

// Get returns the last value seen; false before the first, or when it is no T.
func (v Typed[T]) Get() (value T, ok bool) {
	v.read()
	current := v.lend()
	if !current.known {
		return value, false
	}
	err := decodeInto(v.hub.cfg.codec(), current.data, &value)
	return value, err == nil
}

// Sub calls fn with each value. A message that is no T is reported by OnError and skipped.
func (v Typed[T]) Sub(ctx context.Context, fn func(value T, m *Message), options ...SubOptions) (*Subscription, error) {
	return v.Variable.Sub(ctx, func(m *Message) {
		var value T
		if err := m.Decode(&value); err != nil {
			v.hub.report(err)
			return
		}
		fn(value, m)
	}, options...)
}

// Req sends a request of any value and returns the answer as a T.
func (v Typed[T]) Req(ctx context.Context, value any, options ...PubOptions) (answer T, err error) {
	m, err := v.Variable.Req(ctx, value, options...)
	if err == nil {
		err = m.Decode(&answer)
	}
	return answer, err
}

// Serve answers requests to v with a T. See [Variable.Serve].
func (v Typed[T]) Serve(ctx context.Context, fn func(context.Context, *Message) (T, error), options ...ServeOptions) (*Subscription, error) {
	return v.Variable.Serve(ctx, func(ctx context.Context, m *Message) (any, error) { return fn(ctx, m) }, options...)
}
