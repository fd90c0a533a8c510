package hub

import (
	"reflect"
	"sync/atomic"
)

// A Logger takes lines, with names and values in turn in args. A [*log/slog.Logger] is one.
type Logger interface {
	Debug(msg string, args ...any)
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// isLogger: l is neither nil nor a nil *slog.Logger.
func isLogger(l Logger) bool {
	v := reflect.ValueOf(l)
	return v.IsValid() && (v.Kind() != reflect.Pointer || !v.IsNil())
}

// lines hands on what is logged on a goroutine of its own, so that a Logger is called without any lock
// of the hub's, and nothing that carries messages waits for it.
type lines struct {
	to    Logger
	queue eventQueue
	lost  atomic.Int64 // since the last that was handed on
}

// linesKept bounds the lines that wait for a slow Logger.
const linesKept = 4096

func newLines(to Logger) *lines {
	l := &lines{to: to}
	l.queue.nonEmpty.L = &l.queue.mu
	return l
}

func (l *lines) Debug(msg string, args ...any) { l.put(l.to.Debug, msg, args) }
func (l *lines) Warn(msg string, args ...any)  { l.put(l.to.Warn, msg, args) }
func (l *lines) Error(msg string, args ...any) { l.put(l.to.Error, msg, args) }

func (l *lines) put(log func(string, ...any), msg string, args []any) {
	kept := l.queue.put(func() {
		if lost := l.lost.Swap(0); lost > 0 {
			l.to.Warn("lines were dropped, as the logger is slow", "lines", lost)
		}
		log(msg, args...)
	}, linesKept)
	if !kept {
		l.lost.Add(1)
	}
}

// silent is the Logger that nobody listens to.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
