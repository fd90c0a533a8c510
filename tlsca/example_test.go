package tlsca_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"github.com/kinopio-hub/kinopio-hub/v3/tlsca"
)

// A server on the LAN gets a certificate; what is not of the LAN is refused.
func ExampleOpen() {
	cache, err := os.MkdirTemp("", "example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(cache)
	ca, err := tlsca.Open(tlsca.Dir(cache), tlsca.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}

	cert, err := ca.Issue(tlsca.Request{Hostname: "studio.local", IPs: []netip.Addr{netip.MustParseAddr("192.168.1.7")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = &tls.Config{Certificates: []tls.Certificate{cert.TLS}} // Of the server.
	fmt.Println(cert.TLS.Leaf.DNSNames, cert.TLS.Leaf.IPAddresses)

	_, err = ca.Issue(tlsca.Request{Hostname: "www.example.com"})
	fmt.Println(errors.Is(err, tlsca.ErrConstrained))
	// Output:
	// [studio.local localhost] [192.168.1.7]
	// true
}
