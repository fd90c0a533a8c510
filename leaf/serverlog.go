package leaf

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"regexp"
	"strings"
	"sync"
)

// serverLog receives what nats-server says. It passes the lines on without secrets,
// keeps the last errors, catches what would end a program of its own, and turns the
// lines about the bridge into events, because the server has no other voice for them.
//
// The server calls it with locks held: nothing here may call the server or block.
type serverLog struct {
	log     *slog.Logger
	secrets *strings.Replacer
	nudge   func() // Something about the bridge or the server has changed.

	mu        sync.Mutex
	bridge    *bridge
	lastError string
	fatal     error
}

func newServerLog(log *slog.Logger, secrets []string, b *bridge, nudge func()) *serverLog {
	var pairs []string
	for _, s := range secrets {
		pairs = append(pairs, s, "[hidden]")
	}
	return &serverLog{log: log, secrets: strings.NewReplacer(pairs...), bridge: b, nudge: nudge}
}

// debug is for what clients of a listener can cause.
func (l *serverLog) debug() *log.Logger { return log.New(lineWriter{l.log}, "", 0) }

func (l *serverLog) line(format string, v []any) string {
	return l.secrets.Replace(fmt.Sprintf(format, v...))
}

func (l *serverLog) Noticef(format string, v ...any) {
	line := l.line(format, v)
	l.log.Debug("nats-server", "line", line)
	if strings.Contains(line, "Leafnode connection") {
		l.mu.Lock()
		l.bridge.notice(line)
		l.mu.Unlock()
		l.nudge()
	}
}

func (l *serverLog) Warnf(format string, v ...any) {
	l.log.Warn("nats-server", "line", l.line(format, v))
}

func (l *serverLog) Errorf(format string, v ...any) {
	line := l.line(format, v)
	l.mu.Lock()
	isBridge, repeated := l.bridge.complaint(line)
	if !isBridge {
		l.lastError = line
	}
	if l.fatal != nil && acceptFailed.MatchString(line) {
		l.mu.Unlock()
		return // The server says it as fast as it can, until it is shut down.
	}
	if l.fatal == nil && acceptFailed.MatchString(line) {
		l.fatal = &fatalError{line: line}
	}
	l.mu.Unlock()
	level := slog.LevelError
	if isBridge {
		level = slog.LevelWarn
	}
	if repeated { // Said each second for as long as the backbone is away.
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "nats-server", "line", line)
	l.nudge()
}

// acceptFailed is what nats-server says of a listener that will accept nobody again.
// (What may pass is a "Temporary … Accept Error".)
var acceptFailed = regexp.MustCompile(`^\w+ Accept error: `)

// Fatalf is where nats-server's own logger exits the program.
func (l *serverLog) Fatalf(format string, v ...any) {
	line := l.line(format, v)
	var cause error
	for _, arg := range v {
		if err, ok := arg.(error); ok {
			cause = err
		}
	}
	l.mu.Lock()
	l.lastError = line
	if l.fatal == nil {
		l.fatal = &fatalError{line: line, cause: cause}
	}
	l.mu.Unlock()
	l.log.Error("nats-server", "line", line)
	l.nudge()
}

func (l *serverLog) Debugf(string, ...any) {}
func (l *serverLog) Tracef(string, ...any) {}

// failure is what ended or will end the server, or nil.
func (l *serverLog) failure() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// note keeps an error that the leaf itself met, and tells it.
func (l *serverLog) note(err error) {
	text := l.secrets.Replace(err.Error())
	l.mu.Lock()
	l.lastError = text
	l.mu.Unlock()
	l.log.Error(text)
	l.nudge()
}

// again is for a new server after an old one has ended: what it failed of is over, and
// its bridge is down. The last errors stay.
func (l *serverLog) again() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fatal = nil
	l.bridge.links(0)
}

// fatalError is a line that was meant to be the server's last.
type fatalError struct {
	line  string
	cause error
}

func (e *fatalError) Error() string { return e.line }
func (e *fatalError) Unwrap() error { return e.cause }
