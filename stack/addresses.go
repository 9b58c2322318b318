package stack

import (
	"fmt"
	"net/netip"

	"tcpd/ip"
)

// addresses are those that the stack answers to, and the networks they lie in.
type addresses struct {
	hosts    map[ip.Addr]struct{}
	whole    []netip.Prefix // every address in these is ours
	networks []netip.Prefix // of hosts
	first    []netip.Addr   // one for each entry of the configuration, to send from
}

// newAddresses reads a list such as 10.77.0.2/24, which is one address and the network it lies in. A prefix without host
// bits, such as 192.0.2.0/24, stands for all of its addresses.
func newAddresses(list []netip.Prefix) (*addresses, error) {
	a := &addresses{hosts: make(map[ip.Addr]struct{})}
	for _, p := range list {
		if !p.IsValid() || p.Addr().Is4In6() {
			return nil, fmt.Errorf("stack: address %v is not valid: give an IPv4 or IPv6 address with prefix length, such as 10.77.0.2/24", p)
		}
		if p.Bits() < p.Addr().BitLen() && p.Masked().Addr() == p.Addr() {
			a.whole = append(a.whole, p)
			a.first = append(a.first, p.Addr().Next())
			continue
		}
		a.hosts[ip.AddrFrom(p.Addr())] = struct{}{}
		a.networks = append(a.networks, p.Masked())
		a.first = append(a.first, p.Addr())
	}
	return a, nil
}

// has reports whether x is ours.
func (a *addresses) has(x ip.Addr) bool {
	if _, ok := a.hosts[x]; ok {
		return true
	}
	if len(a.whole) == 0 {
		return false
	}
	n := x.Netip()
	for _, p := range a.whole {
		if p.Contains(n) {
			return true
		}
	}
	return false
}

// broadcast reports whether x is the broadcast address of a network of ours, in the old form (all host bits zero) or the
// new one: RFC 1122, section 3.2.1.3, (d) and the discussion after it. IPv6 has none.
func (a *addresses) broadcast(x ip.Addr) bool {
	if !x.Is4() {
		return false
	}
	n := x.Netip()
	for _, p := range a.networks {
		if p.Addr().Is4() && p.Bits() < 31 && p.Contains(n) && (n == p.Addr() || n == lastOf(p)) {
			return true
		}
	}
	return false
}

// lastOf returns the last address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// source returns the address of ours to reach a remote one from: in the same network if there is one, else the first of the
// family.
func (a *addresses) source(remote netip.Addr) (netip.Addr, bool) {
	for i := range a.networks {
		if a.networks[i].Contains(remote) {
			return a.hostIn(a.networks[i]), true
		}
	}
	for _, f := range a.first {
		if f.Is4() == remote.Is4() {
			return f, true
		}
	}
	return netip.Addr{}, false
}

// hostIn returns the first configured address in a network of ours.
func (a *addresses) hostIn(network netip.Prefix) netip.Addr {
	for _, f := range a.first {
		if _, single := a.hosts[ip.AddrFrom(f)]; single && network.Contains(f) {
			return f
		}
	}
	return network.Addr()
}
