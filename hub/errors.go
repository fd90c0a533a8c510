package hub

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// What callers may branch on, with errors.Is. [Code] gives each its stable name.
var (
	ErrInvalidConfig   = errors.New("invalid configuration")
	ErrInvalidName     = errors.New("invalid name")
	ErrInvalidValue    = errors.New("value cannot be sent")
	ErrMessageTooLarge = errors.New("message too large")
	ErrDisconnected    = errors.New("disconnected")
	ErrTimeout         = errors.New("timed out")
	ErrCanceled        = errors.New("canceled")
	ErrNoResponders    = errors.New("no responders")
	ErrService         = errors.New("service error")
	ErrDisposed        = errors.New("hub is closed")
	ErrConnect         = errors.New("cannot connect")
	ErrMove            = errors.New("move not made")
	ErrPermission      = errors.New("not permitted")
	ErrSlowConsumer    = errors.New("slow consumer")
	ErrNoReply         = errors.New("message wants no answer")
	ErrCallback        = errors.New("callback failed")
	ErrMalformed       = errors.New("malformed message")
)

// Code returns the stable name of err's kind, as the JavaScript package shows it, such as
// "TIMEOUT"; "UNKNOWN" for an error that is not the hub's.
func Code(err error) string {
	for _, e := range []struct {
		err  error
		code string
	}{
		{ErrCanceled, "CANCELED"},
		{ErrInvalidConfig, "INVALID_CONFIG"},
		{ErrInvalidName, "INVALID_NAME"},
		{ErrInvalidValue, "INVALID_VALUE"},
		{ErrMessageTooLarge, "MESSAGE_TOO_LARGE"},
		{ErrNoResponders, "NO_RESPONDERS"},
		{ErrService, "SERVICE_ERROR"},
		{ErrDisposed, "DISPOSED"},
		{ErrMove, "MOVE_FAILED"},
		{ErrPermission, "PERMISSION_DENIED"},
		{ErrSlowConsumer, "SLOW_CONSUMER"},
		{ErrNoReply, "NO_REPLY"},
		{ErrCallback, "CALLBACK_FAILED"},
		{ErrMalformed, "MALFORMED_MESSAGE"},
		{ErrTimeout, "TIMEOUT"},
		{ErrDisconnected, "DISCONNECTED"},
		{ErrConnect, "CONNECT_FAILED"},
		{context.DeadlineExceeded, "TIMEOUT"},
		{context.Canceled, "CANCELED"},
	} {
		if errors.Is(err, e.err) {
			return e.code
		}
	}
	return "UNKNOWN"
}

// ServiceError is a request's outcome when the service's handler failed.
type ServiceError struct {
	Code    string // header Nats-Service-Error-Code
	Message string // header Nats-Service-Error
	Data    []byte // the reply's payload
}

func (e *ServiceError) Error() string {
	return fmt.Sprintf("service error %s: %s", e.Code, e.Message)
}

// Is makes errors.Is(err, ErrService) true.
func (e *ServiceError) Is(target error) bool { return target == ErrService }

// configError reads "invalid configuration: Field = value: want …".
func configError(field string, value any, want string) error {
	return fmt.Errorf("%w: %s = %q: want %s", ErrInvalidConfig, field, fmt.Sprint(value), want)
}

func slowConsumer(subject string, messages, bytes int) error {
	return fmt.Errorf("%w: subscription %s: %d messages (%d bytes) wait for its callback; further ones are dropped", ErrSlowConsumer, subject, messages, bytes)
}

// ctxError is ErrTimeout for a deadline and ErrCanceled for a cancellation, in either case with the
// time since start, what was being waited for, and the error of ctx.
func ctxError(ctx context.Context, waiting error, start time.Time) error {
	after := time.Since(start).Round(time.Millisecond)
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("%w after %v (%w): %w", ErrTimeout, after, waiting, ctx.Err())
	}
	why := ctx.Err()
	if cause := context.Cause(ctx); cause != why {
		why = fmt.Errorf("%w: %w", why, cause)
	}
	return fmt.Errorf("%w after %v (%w): %w", ErrCanceled, after, waiting, why)
}

func isDisconnected(err error) bool { return errors.Is(err, ErrDisconnected) }
