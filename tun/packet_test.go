package tun

import (
	"encoding/binary"
	"net/netip"

	"tcpd/ip"
)

var (
	hostAddress4 = netip.MustParseAddr("10.77.0.1")
	ourAddress4  = netip.MustParseAddr("10.77.0.2")
	hostAddress6 = netip.MustParseAddr("fd77::1")
	ourAddress6  = netip.MustParseAddr("fd77::2")
)

// outgoing returns a TCP segment from us to the host with a partial checksum: a super-packet if it has more than segment
// bytes of data. The data count up, and lie in pieces.
func outgoing(version, segment, data int) *ip.Outgoing {
	src, dst := ip.AddrFrom(ourAddress4), ip.AddrFrom(hostAddress4)
	if version == 6 {
		src, dst = ip.AddrFrom(ourAddress6), ip.AddrFrom(hostAddress6)
	}
	h := ip.Header{Src: src, Dst: dst, Protocol: ip.ProtocolTCP, TTL: 64, DontFragment: true, PayloadLen: tcpHeaderMin + data}
	header := make([]byte, h.Len()+tcpHeaderMin)
	n := h.Put(header)
	tcp := header[n:]
	binary.BigEndian.PutUint16(tcp, 7777)
	binary.BigEndian.PutUint16(tcp[2:], 8888)
	binary.BigEndian.PutUint32(tcp[4:], 1000)
	tcp[12], tcp[13] = 5<<4, 0x18
	binary.BigEndian.PutUint16(tcp[tcpChecksumOffset:], ip.PseudoSum(src, dst, ip.ProtocolTCP, tcpHeaderMin+data))
	payload := make([]byte, data)
	for i := range payload {
		payload[i] = byte(i)
	}
	p := &ip.Outgoing{
		Header: header, NetworkLen: n, ChecksumOffset: tcpChecksumOffset,
		Offload: ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: uint16(segment)},
	}
	for len(payload) > 777 {
		p.Payload, payload = append(p.Payload, payload[:777]), payload[777:]
	}
	p.Payload = append(p.Payload, payload)
	return p
}

func flatten(p *ip.Outgoing) []byte {
	b := append([]byte(nil), p.Header...)
	for _, piece := range p.Payload {
		b = append(b, piece...)
	}
	return b
}

// extended returns a TCP segment from the host to us behind an extension header (destination options), as the kernel hands it to
// who takes partial checksums, with padding behind it.
func extended(segment, data, padding int) *ip.Outgoing {
	src, dst := ip.AddrFrom(hostAddress6), ip.AddrFrom(ourAddress6)
	h := ip.Header{Src: src, Dst: dst, Protocol: 60, PayloadLen: 8 + tcpHeaderMin + data}
	b := make([]byte, h.Len()+h.PayloadLen+padding)
	n := h.Put(b)
	n += copy(b[n:], []byte{ip.ProtocolTCP, 0, 1, 4, 0, 0, 0, 0}) // PadN (RFC 8200, section 4.2)
	tcp := b[n : n+tcpHeaderMin]
	binary.BigEndian.PutUint16(tcp, 8888)
	binary.BigEndian.PutUint16(tcp[2:], 7777)
	tcp[12], tcp[13] = 5<<4, 0x10
	binary.BigEndian.PutUint16(tcp[tcpChecksumOffset:], ip.PseudoSum(src, dst, ip.ProtocolTCP, tcpHeaderMin+data))
	for i := range b[n+tcpHeaderMin:] {
		b[n+tcpHeaderMin+i] = byte(i + 1)
	}
	return &ip.Outgoing{
		Header: b, NetworkLen: n, ChecksumOffset: tcpChecksumOffset,
		Offload: ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: uint16(segment)},
	}
}
