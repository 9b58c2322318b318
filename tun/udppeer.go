package tun

import (
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// peerToldEvery is how often a change of the peer is logged at most: two hosts that take turns change it with each datagram, and
// anybody can forge that.
const peerToldEvery = 10 * time.Second

// sender is whom a datagram came from, as the kernel says it: to be compared for each.
type sender struct {
	addr netip.AddrPort
	zone uint32
}

func senderOf(from unix.Sockaddr) sender {
	switch s := from.(type) {
	case *unix.SockaddrInet4:
		return sender{addr: netip.AddrPortFrom(netip.AddrFrom4(s.Addr), uint16(s.Port))}
	case *unix.SockaddrInet6:
		return sender{netip.AddrPortFrom(netip.AddrFrom16(s.Addr).Unmap(), uint16(s.Port)), s.ZoneId}
	}
	return sender{}
}

// peerFor returns where to send to. A link-local address is one on each interface (RFC 4007, section 6). The zone goes by the name of
// the interface: package net keeps a table of these for a minute, and would read it anew for each datagram to a number.
func (u *UDP) peerFor(s sender) netip.AddrPort {
	if s.zone == 0 || !s.addr.Addr().IsLinkLocalUnicast() {
		return s.addr
	}
	zone := ""
	if old := u.peer.Load(); old != nil && s.zone == u.latest.zone {
		zone = old.Addr().Zone()
	}
	if zone == "" {
		zone = zoneName(int(s.zone))
	}
	return netip.AddrPortFrom(s.addr.Addr().WithZone(zone), s.addr.Port())
}

func zoneName(index int) string {
	if i, err := net.InterfaceByIndex(index); err == nil {
		return i.Name
	}
	return strconv.Itoa(index)
}

// heard makes the sender of a datagram the one to send to. Called by the reader.
func (u *UDP) heard(from unix.Sockaddr) {
	s := senderOf(from)
	if s == u.latest {
		return
	}
	peer := u.peerFor(s)
	u.latest = s
	old := u.peer.Swap(&peer)
	if old != nil && *old == peer {
		return
	}
	if now := time.Now(); now.Sub(u.told) >= peerToldEvery {
		u.told = now
		u.cfg.Logf("%s: the peer is now %v", u.Name(), peer)
	}
	if old == nil {
		u.followPath() // at once: the first packet may open a connection, whose MSS depends on it
		return
	}
	select {
	case u.moved <- struct{}{}:
	default:
	}
}
