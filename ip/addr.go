// Package ip holds the wire formats of IPv4, IPv6 and their control messages: parsing, building, checksums, fragment
// reassembly and segmentation of super-packets. It performs no I/O and keeps no clock; time, where needed, is an argument.
package ip

import (
	"encoding/binary"
	"net/netip"
)

// Addr is an IPv4 or IPv6 address. IPv4 addresses are kept in IPv4-mapped form (RFC 4291, section 2.5.5.2), so that both
// families are one comparable type without pointers. The zero value is the unspecified IPv6 address.
type Addr [16]byte

var v4Prefix = [12]byte{10: 0xff, 11: 0xff}

// Addr4 returns the IPv4 address of four bytes in network order.
func Addr4(b [4]byte) Addr {
	var a Addr
	copy(a[:], v4Prefix[:])
	copy(a[12:], b[:])
	return a
}

// AddrFrom converts from net/netip. A zone is dropped.
func AddrFrom(a netip.Addr) Addr {
	if !a.IsValid() {
		return Addr{}
	}
	return Addr(a.As16())
}

// Netip converts to net/netip; IPv4-mapped addresses become IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Is4 reports whether a is an IPv4 address.
func (a Addr) Is4() bool {
	return binary.BigEndian.Uint64(a[:8]) == 0 && binary.BigEndian.Uint32(a[8:12]) == 0xffff
}

// IsUnspecified reports whether a is 0.0.0.0 or ::.
func (a Addr) IsUnspecified() bool {
	return a == Addr{} || a == Addr4([4]byte{})
}

func (a Addr) String() string { return a.Netip().String() }
