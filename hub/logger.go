package hub

import "reflect"

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

// silent is the Logger that nobody listens to.
type silent struct{}

func (silent) Debug(string, ...any) {}
func (silent) Warn(string, ...any)  {}
func (silent) Error(string, ...any) {}
