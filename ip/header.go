package ip

import (
	"encoding/binary"
	"math/bits"
)

// Lengths in bytes of the headers that Put builds: without options and extension headers, but for the one of a jumbogram.
const (
	HeaderLen4   = 20
	HeaderLen6   = 40
	MaxHeaderLen = HeaderLen6 + jumboLen
)

const (
	maxLength = 65535 // that the length field of either header can tell
	jumboLen  = 8     // of the hop-by-hop header that tells more (RFC 2675, section 2)
)

// defaultTTL is what IANA recommends for the Internet (RFC 1700, "IP TIME TO LIVE PARAMETER").
const defaultTTL = 64

// Header is what varies in an IPv4 or IPv6 header to be sent; the family is that of Dst.
type Header struct {
	Src, Dst     Addr
	Protocol     uint8
	TOS          uint8  // DSCP and ECN
	TTL          uint8  // or hop limit; 0 stands for 64
	ID           uint16 // IPv4 only
	DontFragment bool   // IPv4 only; IPv6 is never fragmented on the way
	PayloadLen   int    // bytes behind what Put writes
	FlowLabel    uint32 // IPv6 only, the low 20 bits
}

// Len returns the number of bytes that Put writes.
func (h *Header) Len() int {
	switch {
	case h.Dst.Is4():
		return HeaderLen4
	case h.PayloadLen > maxLength:
		return MaxHeaderLen
	}
	return HeaderLen6
}

// Put writes the header to the beginning of b, which has room for Len bytes, and returns Len. The IPv4 header checksum is
// complete.
//
// A packet that is longer than its length field can tell is a super-packet for a link that knows the length by itself. The
// field is 0 then, and in IPv6 a jumbo payload option tells it (RFC 2675): so Linux has it, and calls it BIG TCP.
func (h *Header) Put(b []byte) int {
	if h.Dst.Is4() {
		return h.put4(b)
	}
	return h.put6(b)
}

func (h *Header) ttl() uint8 {
	if h.TTL == 0 {
		return defaultTTL
	}
	return h.TTL
}

// put4 sums the words before they go to memory: reading back in larger pieces what was just stored in small ones stalls.
func (h *Header) put4(b []byte) int {
	be := binary.BigEndian
	b = b[:HeaderLen4]
	total := HeaderLen4 + h.PayloadLen
	if total > maxLength {
		total = 0
	}
	first := uint64(4<<4|HeaderLen4/4)<<56 | uint64(h.TOS)<<48 | uint64(uint16(total))<<32 | uint64(h.ID)<<16
	if h.DontFragment {
		first |= flagDontFragment
	}
	second := uint64(h.ttl())<<56 | uint64(h.Protocol)<<48 | uint64(be.Uint32(h.Src[12:]))
	third := be.Uint32(h.Dst[12:])
	sum, carry := bits.Add64(first, second, 0)
	sum, carry = bits.Add64(sum, uint64(third), carry)
	second |= uint64(^fold(sum+carry)) << 32
	be.PutUint64(b, first)
	be.PutUint64(b[8:], second)
	be.PutUint32(b[16:], third)
	return HeaderLen4
}

// putHeaderChecksum completes the checksum of an IPv4 header that exists, with or without options.
func putHeaderChecksum(header []byte) {
	binary.BigEndian.PutUint16(header[10:], 0)
	binary.BigEndian.PutUint16(header[10:], ^sumHeader4(header))
}

func (h *Header) put6(b []byte) int {
	be := binary.BigEndian
	if h.PayloadLen > maxLength {
		return h.putJumbo(b)
	}
	b = b[:HeaderLen6]
	be.PutUint32(b, 6<<28|uint32(h.TOS)<<20|h.FlowLabel&0xfffff)
	be.PutUint16(b[4:], uint16(h.PayloadLen))
	b[6] = h.Protocol
	b[7] = h.ttl()
	copy(b[8:24], h.Src[:])
	copy(b[24:40], h.Dst[:])
	return HeaderLen6
}

// putJumbo writes the header of a jumbogram (RFC 2675, section 3).
func (h *Header) putJumbo(b []byte) int {
	fixed := *h
	fixed.Protocol, fixed.PayloadLen = extensionHopByHop, 0
	option := b[fixed.put6(b):MaxHeaderLen]
	option[0], option[1], option[2], option[3] = h.Protocol, 0, option6Jumbo, 4
	binary.BigEndian.PutUint32(option[4:], uint32(jumboLen+h.PayloadLen))
	return MaxHeaderLen
}
