// Package leaf runs one local NATS leaf in this process: an embedded nats-server with
// a WebSocket listener on the LAN, a bridge to a backbone, and a discovery manifest
// from which pages and programs learn where it is.
//
//	l, err := leaf.Start(ctx, leaf.Config{DiscoveryNamespace: "studio"})
//	if err != nil { … }
//	defer l.Stop(context.Background())
//	fmt.Println(l.Status().WebsocketURL)
//
// Four listeners: NATS clients and monitoring on loopback only; WebSockets and the
// manifest on the LAN address, with TLS from this machine's own CA (package tlsca)
// unless the caller brings certificates or switches TLS off.
//
// Any number of leaves may run in one process and on one machine. After Stop no
// goroutine, listener or file of the leaf is left. The package keeps no state of its
// own, prints nothing and reads no environment variable beyond what os.UserCacheDir
// and os.TempDir look at when the caller names no directory, and, only with
// Config.Trust, what package tlsca looks at to find trust stores.
//
// A running leaf mends itself: see [Start].
package leaf
