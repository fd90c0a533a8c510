package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kinopio-hub/kinopio-hub/v3/hub"
)

// mostInput is what is read of standard input; servers take far less.
const mostInput = 64 << 20

// valueFlags say what a value on the command line means.
type valueFlags struct {
	text, raw bool
	headers   []string
}

func (f *valueFlags) add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.text, "string", false, "the value is a string, also if it could be read as JSON or is -")
	cmd.Flags().BoolVar(&f.raw, "raw-input", false, "send standard input byte by byte; otherwise the end of its last line is left out")
}

func (f *valueFlags) addHeaders(cmd *cobra.Command) {
	f.add(cmd)
	cmd.Flags().StringArrayVarP(&f.headers, "header", "H", nil, "header to send, as Name: value; repeat for more")
}

// check says what does not fit together.
func (f *valueFlags) check(args []string) error {
	switch {
	case f.text && f.raw:
		return &usageError{err: errors.New("--string and --raw-input exclude each other"), hint: "give one of them"}
	case f.raw && len(args) > 0 && args[0] != "-":
		return &usageError{err: fmt.Errorf("--raw-input with the value %q", args[0]), hint: "give - for standard input"}
	}
	return nil
}

// read is the value of args, which has it or not, as bytes to send. A - is standard input, until ctx ends.
func (f *valueFlags) read(ctx context.Context, args []string, stdin io.Reader) ([]byte, error) {
	switch {
	case len(args) == 0 && !f.raw:
		return nil, nil
	case f.text:
		return asString(args[0]), nil
	case len(args) > 0 && args[0] != "-":
		return []byte(args[0]), nil // What is JSON is read as such, all else as a string.
	}
	var data []byte
	var err error
	done := make(chan struct{})
	go func() { // A terminal cannot be told to stop: this ends with the program then.
		defer close(done)
		data, err = io.ReadAll(io.LimitReader(stdin, mostInput+1))
	}()
	select {
	case <-done:
	case <-ctx.Done():
		return nil, fmt.Errorf("read standard input: %w", context.Cause(ctx))
	}
	switch {
	case err != nil:
		return nil, fmt.Errorf("read standard input: %w", err)
	case len(data) > mostInput:
		return nil, fmt.Errorf("standard input has more than %d bytes", mostInput)
	case f.raw:
		return data, nil
	}
	return bytes.TrimSuffix(bytes.TrimSuffix(data, []byte("\n")), []byte("\r")), nil
}

// asString is text that everybody reads as a string: in quotes, if it could be read as something else.
func asString(text string) []byte {
	if text != "" && !json.Valid([]byte(text)) {
		return []byte(text)
	}
	quoted, _ := json.Marshal(text) // A string has no error.
	return quoted
}

// header is what --header says.
func (f *valueFlags) header() (hub.Header, error) {
	var h hub.Header
	for _, line := range f.headers {
		name, value, ok := strings.Cut(line, ":")
		name = strings.TrimSpace(name)
		if !ok || name == "" {
			return nil, &usageError{err: fmt.Errorf("--header %q: it has no name", line), hint: "give one such as --header 'Trace: 7'"}
		}
		if h == nil {
			h = hub.Header{}
		}
		h[name] = append(h[name], strings.TrimSpace(value))
	}
	return h, nil
}

func newPubCommand(getenv env) *cobra.Command {
	var terminal terminalFlags
	var value valueFlags
	count := 1
	cmd := &cobra.Command{
		Use:   "pub SUBJECT [VALUE]",
		Short: "Publish a value",
		Long: `Publish a value, and return when the server has it.

The value is JSON if it can be read as JSON, else a string; - reads it from standard input, and
without one the message is empty. What is published is heard by those who listen now, and kept by
nobody: see kinopio-hub set.`,
		Example: `  kinopio-hub pub robot.goal '{"x": 3, "y": 4}'
  kinopio-hub pub robot.say hello --header 'Voice: low'
  kinopio-hub pub camera.image - --raw-input < image.jpg`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := atLeast("--count", count, 1); err != nil {
				return err
			}
			header, err := value.header()
			if err != nil {
				return err
			}
			if err := value.check(args[1:]); err != nil {
				return err
			}
			return terminal.session(cmd, getenv, func(s *session) error {
				data, err := value.read(s.ctx, args[1:], cmd.InOrStdin())
				if err != nil {
					return err
				}
				s.mine(args[0])
				for range count {
					if s.ctx.Err() != nil {
						return s.interrupted()
					}
					if err := s.hub.Publish(hub.OutMsg{Subject: args[0], Header: header, Data: data}); err != nil {
						return fmt.Errorf("publish %s: %w", args[0], err)
					}
				}
				return s.flush()
			})
		},
	}
	value.addHeaders(cmd)
	cmd.Flags().IntVar(&count, "count", 1, "publish it so many times")
	terminal.add(cmd)
	return cmd
}
