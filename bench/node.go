package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// nodeHost is a Node process. Both sides use its own WebSocket.
type nodeHost struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func (h *nodeHost) measure(ctx context.Context, side, work string, options map[string]any) ([]float64, time.Duration, error) {
	question, err := json.Marshal(map[string]any{"side": side, "work": work, "options": options})
	if err != nil {
		return nil, 0, err
	}
	if _, err := h.in.Write(append(question, '\n')); err != nil {
		return nil, 0, err
	}
	line, err := h.out.ReadBytes('\n')
	var answer struct {
		Value []float64
		CPU   float64
		Error string
	}
	if err == nil {
		err = json.Unmarshal(line, &answer)
	}
	if err == nil && answer.Error != "" {
		err = errors.New(answer.Error)
	}
	return answer.Value, time.Duration(answer.CPU * 1000), err
}

func runNode(ctx context.Context, e *env) (err error) {
	nats, err := bundlePeer(ctx, e)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, "node", "--experimental-websocket", "--expose-gc", "--no-warnings",
		filepath.Join(e.root, "bench/js/node.mjs"), filepath.Join(e.root, "bench/js/works.mjs"), filepath.Join(e.root, "npm/dist/index.mjs"), nats, e.server.WS)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start node: %w", err)
	}
	err = runWorks(ctx, e, "node", &nodeHost{in, bufio.NewReader(out)})
	return errors.Join(err, in.Close(), cmd.Wait())
}

// bundlePeer makes one file of the official client, as a page would load it.
func bundlePeer(ctx context.Context, e *env) (string, error) {
	out := filepath.Join(e.tmp, "nats.mjs")
	cmd := exec.CommandContext(ctx, filepath.Join(e.root, "npm/node_modules/.bin/esbuild"), filepath.Join(e.root, "bench/js/nats.mjs"),
		"--bundle", "--minify", "--format=esm", "--target=es2022", "--log-level=warning", "--outfile="+out)
	cmd.Env = append(os.Environ(), "NODE_PATH="+filepath.Join(e.root, "npm/node_modules"))
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("esbuild: %w: %s", err, text)
	}
	return out, nil
}
