package tun

import (
	"net"
	"time"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// dontFragment has the kernel refuse a datagram that is larger than the path takes, instead of cutting it (RFC 8899, section 3, calls
// it the DF bit): the packet inside is TCP's to make smaller.
func dontFragment(conn *net.UDPConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = raw.Control(func(fd uintptr) {
		six := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_DO)
		four := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
		if six != nil && four != nil { // a socket of one family has one of them
			failed = four
		}
	})
	if err == nil {
		err = failed
	}
	return err
}

// watchPath has the path looked up from time to time, and at once when there is another peer, but not for each of many. It returns at
// Close.
func (u *UDP) watchPath(follow func()) {
	tick := time.NewTicker(pathEvery)
	defer tick.Stop()
	rest := time.NewTimer(0)
	defer rest.Stop()
	var moved chan struct{} // nil while it rests
	for {
		select {
		case <-u.closing:
			return
		case <-rest.C:
			moved = u.moved
		case <-moved:
			follow()
			moved = nil
			rest.Reset(peerPathEvery)
		case <-tick.C:
			follow()
		}
	}
}

// over4 reports whether datagrams go over IPv4: to the peer, or as long as there is none to who may be one.
func (u *UDP) over4() bool {
	if to := u.peer.Load(); to != nil {
		return to.Addr().Unmap().Is4()
	}
	return u.cfg.Local.Addr().Is4()
}

// followPath takes over what the kernel knows of the path to the peer.
func (u *UDP) followPath() {
	around := ip.HeaderLen6 + udpHeaderLen
	if u.over4() {
		around = ip.HeaderLen4 + udpHeaderLen
	}
	mtu := 1500 - around
	if to := u.peer.Load(); to != nil {
		if outer, ok := pathTo(net.UDPAddrFromAddrPort(*to)); ok {
			mtu = outer - around
		}
	}
	mtu = max(min(mtu, maxUDPPayload), minMTU)
	if u.cfg.MTU != 0 {
		mtu = min(mtu, u.cfg.MTU)
	}
	old := u.mtu.Swap(int64(mtu))
	switch {
	case old == int64(mtu):
	case old != 0:
		u.cfg.Logf("%s: the tunnel now carries packets of %d bytes (was %d)", u.Name(), mtu, old)
	case mtu < minMTU6:
		u.cfg.Logf("%s: the tunnel carries packets of %d bytes; IPv6 needs %d", u.Name(), mtu, minMTU6)
	}
}

// pathTo asks the kernel, through a socket of its own, for the path MTU to an address: that of the route, or what an ICMP
// message has said since.
func pathTo(to *net.UDPAddr) (int, bool) {
	conn, err := net.DialUDP("udp", nil, to)
	if err != nil {
		return 0, false
	}
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, false
	}
	level, option := unix.IPPROTO_IPV6, unix.IPV6_MTU
	if to.IP.To4() != nil {
		level, option = unix.IPPROTO_IP, unix.IP_MTU
	}
	mtu := 0
	if controlErr := raw.Control(func(fd uintptr) { mtu, err = unix.GetsockoptInt(int(fd), level, option) }); controlErr != nil {
		return 0, false
	}
	return mtu, err == nil && mtu > ip.HeaderLen6+udpHeaderLen
}
