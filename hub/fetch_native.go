//go:build !js

package hub

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// fetcher makes HTTP requests. It keeps no idle connections, so that nothing outlives the hub.
type fetcher struct{ client *http.Client }

func newFetcher(config *TLSConfig) fetcher {
	return fetcher{&http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true, Proxy: http.ProxyFromEnvironment}}}
}

func (f fetcher) fetch(ctx context.Context, address string) (document, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return document{}, err
	}
	response, err := f.to(request.URL.Hostname()).Do(request)
	if err != nil {
		if inner, ok := errors.AsType[*url.Error](err); ok {
			err = inner.Err // without the address, which may hold a secret
		}
		return document{}, err
	}
	defer response.Body.Close()
	got := document{status: response.StatusCode, contentType: response.Header.Get("Content-Type"), date: response.Header.Get("Date")}
	if got.status == http.StatusOK {
		got.body, err = io.ReadAll(io.LimitReader(response.Body, manifestLimit+1))
	}
	return got, err
}

// to is the client for a host. The zone of an address (fe80::1%eth0) is this host's own, and no part
// of what a certificate says.
func (f fetcher) to(host string) *http.Client {
	bare, _, zoned := strings.Cut(host, "%")
	was, ok := f.client.Transport.(*http.Transport)
	if !zoned || !ok {
		return f.client
	}
	config := was.TLSClientConfig.Clone()
	if config == nil {
		config = &tls.Config{}
	}
	config.ServerName = bare
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
}

func (f fetcher) close() { f.client.CloseIdleConnections() }
