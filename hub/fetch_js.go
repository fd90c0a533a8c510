package hub

import (
	"context"
	"syscall/js"
)

// fetcher makes HTTP requests with the browser's own fetch: package net/http would do the
// same, and bring its whole server and client along.
type fetcher struct{}

func newFetcher(*TLSConfig) fetcher { return fetcher{} }

// fetch sends no cookies. Caches are the leaf's business (it answers no-store): a header here
// would cost a CORS preflight.
func (fetcher) fetch(ctx context.Context, address string) (got document, err error) {
	defer caught(&err)
	abort := js.Global().Get("AbortController").New()
	defer abort.Call("abort")
	response, err := await(ctx, func() js.Value {
		return js.Global().Call("fetch", address, map[string]any{"credentials": "omit", "signal": abort.Get("signal")})
	})
	if err != nil {
		return document{}, err
	}
	header := func(name string) string {
		if v := response.Get("headers").Call("get", name); v.Type() == js.TypeString {
			return v.String()
		}
		return ""
	}
	got = document{status: response.Get("status").Int(), contentType: header("content-type"), date: header("date")}
	if got.status == 200 {
		got.body, err = readBody(ctx, response)
	}
	return got, err
}

// readBody reads no more than is wanted, whatever comes. Where fetch is a page's own, which may have
// no streams, it takes what there is.
func readBody(ctx context.Context, response js.Value) (all []byte, err error) {
	body := response.Get("body")
	if body.Type() != js.TypeObject {
		buffer, err := await(ctx, func() js.Value { return response.Call("arrayBuffer") })
		if err != nil {
			return nil, err
		}
		value := js.Global().Get("Uint8Array").New(buffer)
		all = make([]byte, min(value.Length(), manifestLimit+1))
		js.CopyBytesToGo(all, value)
		return all, nil
	}
	reader := body.Call("getReader")
	for len(all) <= manifestLimit {
		part, err := await(ctx, func() js.Value { return reader.Call("read") })
		if err != nil || part.Get("done").Bool() {
			return all, err
		}
		value := part.Get("value")
		n := len(all)
		all = append(all, make([]byte, value.Length())...)
		js.CopyBytesToGo(all[n:], value)
	}
	return all[:manifestLimit+1], nil
}

func (fetcher) close() {}
