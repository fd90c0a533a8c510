package leaf_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/kinopio-hub/kinopio-hub/v3/leaf"
)

// A web application runs a leaf, and serves its manifest from an origin of its own: pages of
// the application then find the leaf without being told where it is.
func ExampleManifestHandler() {
	ctx := context.Background()
	l, err := leaf.Start(ctx, leaf.Config{
		DiscoveryNamespace: "studio",
		LANBindAddress:     "127.0.0.1",
		NoWebSocketTLS:     true,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer l.Stop(ctx)

	app := http.NewServeMux()
	app.Handle(leaf.ManifestPath, leaf.ManifestHandler(l.Manifest, "https://app.example.com"))

	answer := httptest.NewRecorder()
	app.ServeHTTP(answer, httptest.NewRequest("GET", "https://app.example.com"+leaf.ManifestPath, nil))
	fmt.Println(answer.Code, answer.Header().Get("Content-Type"))
	// Output: 200 application/json; charset=utf-8
}
