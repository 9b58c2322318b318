package ether

import (
	"encoding/binary"

	"tcpd/ip"
)

// HeaderLen is the length of an Ethernet header: destination, source, type.
const HeaderLen = 14

// The types of frames that are understood.
const (
	typeIPv4 = 0x0800
	typeARP  = 0x0806
	typeIPv6 = 0x86dd
)

// PutHeader writes the header of a frame that carries an IP packet, of which it looks at the first byte.
func PutHeader(b []byte, dst, src MAC, packet []byte) {
	t := uint16(typeIPv4)
	if packet[0]>>4 == 6 {
		t = typeIPv6
	}
	putHeader(b, dst, src, t)
}

func putHeader(b []byte, dst, src MAC, t uint16) {
	copy(b, dst[:])
	copy(b[6:], src[:])
	binary.BigEndian.PutUint16(b[12:], t)
}

// multicast6 returns the address of the frames that carry packets to an IPv6 group (RFC 2464, section 7).
func multicast6(group ip.Addr) MAC {
	return MAC{0x33, 0x33, group[12], group[13], group[14], group[15]}
}

// allNodes is the group of every IPv6 node on the link, ff02::1.
var allNodes = ip.Addr{0: 0xff, 1: 0x02, 15: 1}

// solicitedNode returns the group in which the node with an address awaits to be asked for it (RFC 4291, section 2.7.1).
func solicitedNode(a ip.Addr) ip.Addr {
	g := ip.Addr{0: 0xff, 1: 0x02, 11: 1, 12: 0xff}
	copy(g[13:], a[13:])
	return g
}
