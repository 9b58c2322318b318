package ip

import (
	"encoding/binary"
	"math/bits"
)

// Sum returns the one's complement sum (RFC 1071) of b and initial, folded to 16 bits and not complemented. A trailing odd
// byte counts as if a zero followed, so only the last of several pieces summed in a row may have an odd length.
//
// The sum does not depend on byte order but for one final swap (RFC 1071, section 2 (B)), so words are loaded as little
// endian, eight bytes a step, and their carries chained.
func Sum(b []byte, initial uint16) uint16 {
	le := binary.LittleEndian
	sum := uint64(bits.ReverseBytes16(initial))
	var carry uint64
	for len(b) >= 128 {
		w := b[:128:128]
		sum, carry = bits.Add64(sum, le.Uint64(w[0:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[8:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[16:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[24:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[32:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[40:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[48:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[56:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[64:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[72:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[80:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[88:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[96:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[104:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[112:]), carry)
		sum, carry = bits.Add64(sum, le.Uint64(w[120:]), carry)
		b = b[128:]
	}
	sum, carry = bits.Add64(sum, 0, carry)
	sum += carry
	return bits.ReverseBytes16(fold(sumTail(b, sum)))
}

// sumTail adds the up to 127 bytes that are left after the unrolled steps. Adding a carry to the sum that it came out of
// cannot carry again, as long as none went in.
func sumTail(b []byte, sum uint64) uint64 {
	le := binary.LittleEndian
	var carry uint64
	for len(b) >= 8 {
		sum, carry = bits.Add64(sum, le.Uint64(b), 0)
		sum += carry
		b = b[8:]
	}
	var last uint64
	if len(b) >= 4 {
		last = uint64(le.Uint32(b))
		b = b[4:]
		sum, carry = bits.Add64(sum, last, 0)
		sum += carry
		last = 0
	}
	if len(b) >= 2 {
		last = uint64(le.Uint16(b))
		if len(b) == 3 {
			last |= uint64(b[2]) << 16
		}
	} else if len(b) == 1 {
		last = uint64(b[0])
	}
	sum, carry = bits.Add64(sum, last, 0)
	return sum + carry
}

// fold reduces a sum of 64 bits to one of 16.
func fold(sum uint64) uint16 {
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>32 + sum&0xffffffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	return uint16(sum>>16 + sum&0xffff)
}

// sumHeader4 is Sum of an IPv4 header, which mostly has 20 bytes.
func sumHeader4(h []byte) uint16 {
	if len(h) != HeaderLen4 {
		return Sum(h, 0)
	}
	le := binary.LittleEndian
	sum, carry := bits.Add64(le.Uint64(h), le.Uint64(h[8:]), 0)
	sum, carry = bits.Add64(sum, uint64(le.Uint32(h[16:])), carry)
	return bits.ReverseBytes16(fold(sum + carry))
}

// PseudoSum returns the sum of the pseudo-header of IPv4 (RFC 9293, section 3.1) or IPv6 (RFC 8200, section 8.1), not
// complemented: what a transport checksum starts from, and what its field holds under ChecksumPartial. length is that of
// transport header and data in bytes.
func PseudoSum(src, dst Addr, proto uint8, length int) uint16 {
	// The IPv4-mapped prefix adds 0xffff for each address, which is zero in one's complement: both families are one sum.
	be := binary.BigEndian
	sum, carry := bits.Add64(be.Uint64(src[:8]), be.Uint64(src[8:]), 0)
	sum, carry = bits.Add64(sum, be.Uint64(dst[:8]), carry)
	sum, carry = bits.Add64(sum, be.Uint64(dst[8:]), carry)
	sum, carry = bits.Add64(sum, uint64(proto)+uint64(uint32(length)), carry)
	return fold(sum + carry)
}

// TransportChecksumOK reports whether the checksum of the packet's payload is right, for TCP, UDP, ICMP and ICMPv6. Other
// protocols have none that this package knows, and pass. So does a packet whose Offload says that there is nothing to
// verify. It makes no sense for fragments.
func (p *Packet) TransportChecksumOK() bool {
	if p.Offload.Checksum != ChecksumFull {
		return true
	}
	switch p.Protocol {
	case ProtocolTCP:
		return len(p.Payload) >= 20 && p.pseudoSumOK(p.Payload)
	case ProtocolUDP:
		return p.udpChecksumOK()
	case ProtocolICMP:
		// RFC 792: without pseudo-header.
		return len(p.Payload) >= 8 && Sum(p.Payload, 0) == 0xffff
	case ProtocolICMPv6:
		return len(p.Payload) >= 8 && p.pseudoSumOK(p.Payload)
	}
	return true
}

func (p *Packet) pseudoSumOK(b []byte) bool {
	return Sum(b, PseudoSum(p.Src, p.Dst, p.Protocol, len(b))) == 0xffff
}

// udpChecksumOK goes by the UDP length field, which may be shorter than the payload of the IP packet (RFC 768).
func (p *Packet) udpChecksumOK() bool {
	if len(p.Payload) < 8 {
		return false
	}
	n := int(binary.BigEndian.Uint16(p.Payload[4:]))
	if n < 8 || n > len(p.Payload) {
		return false
	}
	if p.Payload[6] == 0 && p.Payload[7] == 0 {
		// "An all zero transmitted checksum value means that the transmitter generated no checksum" (RFC 768); IPv6 does not
		// allow that (RFC 8200, section 8.1).
		return p.Src.Is4()
	}
	return p.pseudoSumOK(p.Payload[:n])
}
