package ip

import "encoding/binary"

// EchoOverhead returns how many bytes of a packet with an echo request are not its payload.
func EchoOverhead(v4 bool) int {
	if v4 {
		return HeaderLen4 + icmpHeaderLen
	}
	return HeaderLen6 + icmpHeaderLen
}

// PutEchoRequest makes b, which holds the payload from EchoOverhead on, a whole packet with an echo request (RFC 792; RFC
// 4443, section 4.1). It returns the length of the network header.
func PutEchoRequest(b []byte, src, dst Addr, id, seq uint16) int {
	h := Header{Src: src, Dst: dst, Protocol: ProtocolICMPv6, DontFragment: true}
	kind := uint8(type6Echo)
	if dst.Is4() {
		h.Protocol, kind = ProtocolICMP, type4Echo
	}
	h.PayloadLen = len(b) - h.Len()
	network := h.Put(b)
	message := b[network:]
	message[0], message[1] = kind, 0
	binary.BigEndian.PutUint16(message[4:], id)
	binary.BigEndian.PutUint16(message[6:], seq)
	putICMPChecksum(message, &h)
	return network
}
