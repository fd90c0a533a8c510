package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// runSize measures what a page downloads, and prints which packages the module's code is of.
func runSize(ctx context.Context, e *env) error {
	nats, err := bundlePeer(ctx, e)
	if err != nil {
		return err
	}
	for _, f := range []struct {
		work, file, peer string
		must, goal       float64 // MB of brotli
	}{
		{"module, brotli", "npm/dist/kinopio-hub.wasm", "", 2.2, 1.0},
		{"JavaScript, brotli", "npm/dist/kinopio-hub.global.js", nats, 0, 0},
	} {
		if !e.wanted(f.work) {
			continue
		}
		fmt.Fprintln(e.log, "size:", f.work)
		r := &result{Suite: "size", Work: f.work, Unit: "B"}
		packed, err := brotli(ctx, filepath.Join(e.root, f.file))
		if err != nil {
			return err
		}
		r.Ours = []float64{float64(len(packed))}
		if f.peer != "" {
			if packed, err = brotli(ctx, f.peer); err != nil {
				return err
			}
			r.PeerIs, r.Peer = jsPeer, []float64{float64(len(packed))}
		}
		if f.must > 0 { // there is no peer: the limits are sizes
			r.Work = fmt.Sprintf("%s; must %.1f MB, goal %.1f MB", f.work, f.must, f.goal)
			met := r.Ours[0] <= f.must*1e6
			r.Met = &met
		}
		e.report.add(r)
	}
	if !e.wanted("packages") {
		return nil
	}
	fmt.Fprintln(e.log, "size: packages")
	return printPackages(ctx, e)
}

// printPackages builds the module with names, and adds the size of the functions up.
func printPackages(ctx context.Context, e *env) error {
	named := filepath.Join(e.tmp, "named.wasm")
	cmd := exec.CommandContext(ctx, "go", "build", "-tags=kinopio_page", "-trimpath", "-ldflags=-w", "-o", named, "./wasm")
	cmd.Dir = e.root
	cmd.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build with names: %w: %s", err, text)
	}
	module, err := os.ReadFile(named)
	if err != nil {
		return err
	}
	sizes, data, err := weigh(module)
	if err != nil {
		return err
	}
	names, total := make([]string, 0, len(sizes)), 0
	for name, size := range sizes {
		names = append(names, name)
		total += size
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(sizes[b], sizes[a]) })
	fmt.Printf("code %d KB, data %d KB (names of types and functions, tables, strings)\n\n", total/1000, data/1000)
	fmt.Println("| package | code, KB | share |")
	fmt.Println("| --- | --- | --- |")
	for _, name := range names[:min(40, len(names))] {
		fmt.Printf("| %s | %d | %.1f %% |\n", name, sizes[name]/1000, 100*float64(sizes[name])/float64(total))
	}
	fmt.Println()
	return nil
}

var errModule = errors.New("malformed WebAssembly")

// weigh returns the bytes of code by package, and those of data.
func weigh(module []byte) (sizes map[string]int, data int, err error) {
	if !bytes.HasPrefix(module, []byte("\x00asm\x01\x00\x00\x00")) {
		return nil, 0, errModule
	}
	r := wasmReader{b: module[8:]}
	imported := 0
	var bodies []int
	names := map[int]string{}
	for len(r.b) > 0 && !r.bad {
		id := r.byte()
		section := wasmReader{b: r.take(r.number())}
		switch id {
		case 2:
			imported = section.number() // Go imports functions only
		case 10:
			for range section.number() {
				n := section.number()
				section.take(n)
				bodies = append(bodies, n)
			}
		case 11:
			data = len(section.b)
		case 0:
			if string(section.take(section.number())) == "name" {
				section.names(names)
			}
		}
		r.bad = r.bad || section.bad
	}
	if r.bad {
		return nil, 0, errModule
	}
	sizes = map[string]int{}
	for i, n := range bodies {
		sizes[packageOf(names[imported+i])] += n
	}
	return sizes, data, nil
}

// packageOf makes the import path of a function's name, in which the linker has replaced
// what is no letter or number: dots and slashes are told apart by what is linked.
func packageOf(name string) string {
	for _, p := range []struct{ prefix, name string }{
		{"github.com_nats_io_nats", "github.com/nats-io/nats.go"}, {"github.com_nats_io_nkeys", "github.com/nats-io/nkeys"},
		{"github.com_nats_io_nuid", "github.com/nats-io/nuid"}, {"github.com_kinopio_hub", "this repository"}, {"main.", "this repository"},
		{"type_", "generated: equality and hashes of types"}, {"golang.org_x_crypto", "golang.org/x/crypto"},
		{"vendor_golang.org", "golang.org/x, in the standard library"}, {"crypto_internal", "crypto/internal/…"},
		{"internal_", "internal/…"},
	} {
		if strings.HasPrefix(name, p.prefix) {
			return p.name
		}
	}
	path, _, _ := strings.Cut(name, ".")
	if path == "" {
		return "without a name"
	}
	return strings.ReplaceAll(path, "_", "/")
}

// wasmReader takes a section apart. After it has failed every method returns nothing.
type wasmReader struct {
	b   []byte
	bad bool
}

func (r *wasmReader) byte() byte {
	b := r.take(1)
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func (r *wasmReader) number() int {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return int(v)
}

func (r *wasmReader) take(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

// names reads the names of functions.
func (r *wasmReader) names(into map[int]string) {
	for len(r.b) > 0 && !r.bad {
		id := r.byte()
		part := wasmReader{b: r.take(r.number())}
		if id != 1 {
			continue
		}
		for range part.number() {
			index := part.number()
			into[index] = string(part.take(part.number()))
		}
		r.bad = r.bad || part.bad
	}
}
