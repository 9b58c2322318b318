package ip

// ecnMask are the bits of TOS that tell congestion on the way of one packet (RFC 3168, section 5).
const ecnMask = 3

// PutEchoReply writes to dst a whole packet that answers the echo request in p, with all its data (RFC 1122, section
// 3.2.2.6; RFC 4443, section 4.2), and returns its length, at most that of p. It borrows p during the call; dst must not
// overlap it. All checksums are complete. IP options of the request are not returned.
//
// It returns false when p is not a whole echo request between two single hosts, or dst is too short. The caller has let
// ICMP.Parse accept the packet: the checksum is not verified here.
func PutEchoReply(dst []byte, p *Packet) (int, bool) {
	if p.Fragment.IsFragment() || len(p.Payload) < icmpHeaderLen || p.Martian() != DropNone {
		return 0, false
	}
	var reply uint8
	switch {
	case p.version() == 4 && p.Protocol == ProtocolICMP && p.Payload[0] == type4Echo:
		reply = type4EchoReply
	case p.version() == 6 && p.Protocol == ProtocolICMPv6 && p.Payload[0] == type6Echo:
		reply = type6EchoReply
	default:
		return 0, false
	}
	h := Header{
		Src: p.Dst, Dst: p.Src, Protocol: p.Protocol, TOS: p.TOS &^ ecnMask,
		DontFragment: true, PayloadLen: len(p.Payload),
	}
	n := h.Len() + len(p.Payload)
	if len(dst) < n {
		return 0, false
	}
	message := dst[h.Put(dst):n]
	copy(message, p.Payload)
	message[0], message[1] = reply, 0
	putICMPChecksum(message, &h)
	return n, true
}

// putICMPChecksum completes the checksum of a message that h precedes.
func putICMPChecksum(message []byte, h *Header) {
	var sum uint16
	if h.Protocol == ProtocolICMPv6 {
		sum = PseudoSum(h.Src, h.Dst, h.Protocol, len(message))
	}
	message[2], message[3] = 0, 0
	sum = ^Sum(message, sum)
	message[2], message[3] = uint8(sum>>8), uint8(sum)
}
