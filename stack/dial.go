package stack

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"os"
	"strconv"
	"syscall"

	"tcpd/ip"
	"tcpd/tcp"
)

// Dial is DialContext without a context.
func (s *Stack) Dial(network, address string) (net.Conn, error) {
	return s.DialContext(context.Background(), network, address)
}

// DialContext connects to an address such as "10.77.0.1:80". The network is "tcp", "tcp4" or "tcp6". A host name is
// resolved by the system and its addresses are tried one after the other. When ctx ends first, the connection is given up
// and the error is that of ctx; later ctx means nothing to the connection.
func (s *Stack) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	targets, err := resolve(ctx, network, address)
	if err != nil {
		return nil, &net.OpError{Op: "dial", Net: network, Err: err}
	}
	var first error
	for _, t := range targets {
		c, err := s.DialTCP(ctx, t, nil)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, first
}

// resolve returns the addresses that network and address stand for.
func resolve(ctx context.Context, network, address string) ([]netip.AddrPort, error) {
	family, ok := map[string]string{"tcp": "ip", "tcp4": "ip4", "tcp6": "ip6"}[network]
	if !ok {
		return nil, net.UnknownNetworkError(network)
	}
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		n, err := net.DefaultResolver.LookupPort(ctx, network, service)
		if err != nil {
			return nil, err
		}
		port = uint64(n)
	}
	addrs, err := lookup(ctx, family, host)
	if err != nil {
		return nil, err
	}
	var targets []netip.AddrPort
	for _, a := range addrs {
		targets = append(targets, netip.AddrPortFrom(a.Unmap(), uint16(port)))
	}
	return targets, nil
}

func lookup(ctx context.Context, family, host string) ([]netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	if err != nil {
		return net.DefaultResolver.LookupNetIP(ctx, family, host)
	}
	if family == "ip4" && !a.Unmap().Is4() || family == "ip6" && a.Unmap().Is4() {
		return nil, &net.AddrError{Err: "no suitable address", Addr: host}
	}
	return []netip.Addr{a}, nil
}

// DialTCP connects to an address and port. o are the options of the connection; nil: those of the stack.
func (s *Stack) DialTCP(ctx context.Context, to netip.AddrPort, o *tcp.Options) (*Conn, error) {
	if o == nil {
		o = s.defaults()
	}
	c, err := s.connect(ctx, to, o, nil)
	if err != nil {
		var source net.Addr
		if c != nil {
			source = c.LocalAddr()
		}
		return nil, opError("dial", source, net.TCPAddrFromAddrPort(to), osError("connect", err))
	}
	return c, nil
}

// connect opens a connection and waits for it. Of first, if there is any, it writes what the send buffer takes before the SYN
// leaves, and leaves the rest.
func (s *Stack) connect(ctx context.Context, to netip.AddrPort, o *tcp.Options, first *[]byte) (*Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := s.flowTo(to)
	if err != nil {
		return nil, err
	}
	sh := s.owner(&f)
	now := sh.lock()
	if sh.closed || s.draining.Load() {
		sh.leave(now)
		return nil, net.ErrClosed
	}
	core, err := sh.table.Connect(now, f, *o)
	if err != nil {
		sh.leave(now)
		return nil, err
	}
	if first != nil {
		n, _ := sh.table.Write(now, core, *first)
		*first = (*first)[n:]
	}
	c := sh.adopt(core)
	err = c.awaitConnected(ctx, &now)
	if err != nil && c.core != nil {
		var w wakes
		sh.abandon(c, &w)
		sh.table.Abort(now, core)
	}
	sh.leave(now)
	return c, err
}

// awaitConnected blocks until the active open has ended or ctx has.
func (c *Conn) awaitConnected(ctx context.Context, now *tcp.Time) error {
	for !c.connected {
		wake := c.write.prepare(c.shard, *now)
		c.shard.leave(*now)
		select {
		case <-wake:
		case <-ctx.Done():
		}
		*now = c.write.resume(c.shard)
		if c.core == nil {
			return tcp.ErrAborted
		}
		if err := ctx.Err(); err != nil && !c.connected {
			return err
		}
	}
	c.write.leavePlace(c.shard)
	return c.core.Err()
}

var errNoAddress = errors.New("no address of ours in that family")

// flowTo chooses our end for a connection; the port is left to the table.
func (s *Stack) flowTo(to netip.AddrPort) (tcp.Flow, error) {
	remote := to.Addr().Unmap()
	switch {
	case !remote.IsValid() || remote.IsUnspecified() || remote.IsMulticast() || to.Port() == 0:
		return tcp.Flow{}, os.NewSyscallError("connect", syscall.EADDRNOTAVAIL)
	case s.addresses.has(ip.AddrFrom(remote)):
		// What is sent to our own address would never come back by the link.
		return tcp.Flow{}, tcp.ErrUnreachable
	}
	local, ok := s.addresses.source(remote)
	if !ok {
		return tcp.Flow{}, errNoAddress
	}
	return tcp.Flow{Local: ip.AddrFrom(local), Remote: ip.AddrFrom(remote), RemotePort: to.Port()}, nil
}
