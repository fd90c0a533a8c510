package election

import (
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"github.com/kinopio-hub/kinopio-hub/v3/election/mdns"
	"github.com/kinopio-hub/kinopio-hub/v3/election/multicast"
)

// lanBus is the multicast group of the LAN.
type lanBus struct {
	*multicast.Bus
	out chan datagram
}

func openLAN(log *slog.Logger) (*lanBus, error) {
	b, err := multicast.Open(multicast.Config{MaxPacket: maxHeartbeat, Logger: log})
	if err != nil {
		return nil, err
	}
	l := &lanBus{b, make(chan datagram)}
	go func() { // Ends with the bus, before Close returns.
		defer close(l.out)
		for p := range b.Packets() {
			l.out <- datagram{p.Data, p.Interface}
		}
	}()
	return l, nil
}

func (l *lanBus) Receive() <-chan datagram { return l.out }

// Problems are at most a few of what does not work.
func (l *lanBus) Problems() []string {
	const most = 4
	all := l.Stats().Problems
	if more := len(all) - most; more > 0 {
		all = append(all[:most:most], fmt.Sprintf("multicast: %d more interfaces do not work", more))
	}
	return all
}

func (l *lanBus) Close() error {
	err := l.Bus.Close()
	for range l.out {
	}
	return err
}

// announcement is what multicast DNS tells of the leader. The proof is over all of it.
func announcement(h *heartbeat, key *proofKey, until time.Time) (mdns.Leaf, error) {
	discovery, err := url.Parse(h.DiscoveryURL)
	if err != nil {
		return mdns.Leaf{}, err
	}
	socket, err := url.Parse(h.WSSURL)
	if err != nil {
		return mdns.Leaf{}, err
	}
	address, err := lanAddress(bare(discovery.Hostname()))
	if err != nil {
		return mdns.Leaf{}, err
	}
	port := func(u *url.URL) uint16 {
		n, _ := strconv.ParseUint(u.Port(), 10, 16)
		return uint16(n) // 0 is refused by mdns.
	}
	l := mdns.Leaf{
		Namespace: h.DiscoveryNamespace, NodeID: h.NodeID, Host: bare(h.AdvertisedHostname), Epoch: h.LeaderEpoch,
		Lease: until, WebSocketPort: port(socket), WebSocketProtocol: socket.Scheme, DiscoveryProtocol: discovery.Scheme,
		RTT: int(rttOf(h.BackboneRTTMs)), Port: port(discovery), Address: address,
		Extra: map[string]string{"seq": strconv.FormatInt(h.Sequence, 10)},
	}
	if key != nil {
		l.Extra["mac"] = announcedProof(l, key)
	}
	return l, nil
}

// lanAddress is host, or for a name (which may take long to look up) an address of this
// machine.
func lanAddress(host string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return a, nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return netip.Addr{}, err
	}
	for _, fits := range []func(netip.Addr) bool{
		func(a netip.Addr) bool { return a.Is4() && (a.IsPrivate() || sharedAddresses.Contains(a)) },
		func(a netip.Addr) bool { return a.Is6() && a.IsPrivate() },
		netip.Addr.IsLinkLocalUnicast,
	} {
		for _, address := range addresses {
			if p, err := netip.ParsePrefix(address.String()); err == nil && fits(p.Addr()) {
				return p.Addr(), nil
			}
		}
	}
	return netip.Addr{}, fmt.Errorf("this machine has no private address for %s", host)
}

func announcedProof(l mdns.Leaf, key *proofKey) string {
	text := fmt.Sprintf("%q %q %q %d %d %d %q %q %d %d %s %q", l.Namespace, l.NodeID, l.Host, l.Epoch, l.Lease.UnixMilli(),
		l.WebSocketPort, l.WebSocketProtocol, l.DiscoveryProtocol, l.RTT, l.Port, l.Address, l.Extra["seq"])
	return fmt.Sprintf("%x", key.sum("mdns", []byte(text)))
}

// heartbeatOf makes a heartbeat of what multicast DNS told.
func heartbeatOf(a *mdns.Announcement, namespace string, key *proofKey) (*heartbeat, error) {
	if a.Namespace != namespace {
		return nil, rejectNamespace
	}
	if key != nil && (a.Goodbye || a.Extra["mac"] != announcedProof(a.Leaf, key)) {
		return nil, rejectProof
	}
	at := func(scheme string, port uint16, path string) string {
		host := a.Host
		if host == "" {
			host = a.Address.String()
		}
		return scheme + "://" + net.JoinHostPort(host, strconv.Itoa(int(port))) + path
	}
	h := &heartbeat{Manifest: Manifest{
		Version: manifestVersion, LeaderEpoch: a.Epoch, AdvertisedHostname: a.Host, NodeID: a.NodeID,
		DiscoveryNamespace: a.Namespace, IsLeader: !a.Goodbye, CandidateRole: RoleLeader, FallbackServers: []string{},
	}}
	if a.Goodbye {
		h.CandidateRole = RoleStopped
	} else {
		h.WSSURL = at(a.WebSocketProtocol, a.WebSocketPort, "")
		h.WebsocketURL, h.DiscoveryURL = h.WSSURL, at(a.DiscoveryProtocol, a.Port, manifestPath)
	}
	h.inZone(a.Interface)
	if a.RTT >= 0 && a.RTT <= maxRTT {
		h.BackboneRTTMs = RTT(a.RTT).milliseconds()
	}
	if n, err := strconv.ParseInt(a.Extra["seq"], 10, 64); err == nil && n > 0 && !a.Goodbye {
		h.Sequence, h.State = n, Leading
	}
	if err := h.check(); err != nil {
		return nil, rejectField
	}
	return h, nil
}
