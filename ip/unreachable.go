package ip

import "encoding/binary"

// How long an error message may become: "as much of the original datagram as possible without the length of the ICMP
// datagram exceeding 576 bytes" (RFC 1812, section 4.3.2.3), and the minimum IPv6 MTU (RFC 4443, section 2.4 (c)).
const (
	maxError4 = 576
	maxError6 = 1280
)

// MaxICMPError is the length in bytes of the longest packet that PutUnreachable writes.
const MaxICMPError = maxError6

// PutUnreachable writes to dst a whole packet with an ICMP error about the offending packet, from the address of ours given,
// to its source; dst has MaxICMPError bytes and does not overlap the packet. kind is one of the errors; mtu is used with
// PacketTooBig only. ParameterProblem is for an IPv6 packet that Parse dropped because of its extension headers, and finds
// the offending field itself. The result is the length of the packet, whose checksums are complete.
//
// It returns false when no message must be sent: about an ICMP error or redirect, a fragment other than the first, a packet
// to or from anything but a single host (RFC 1122, section 3.2.2; RFC 4443, section 2.4 (e)), and about a TCP reset, which
// like an error must not be answered. The rate of messages is the caller's to limit (RFC 4443, section 2.4 (f)).
func PutUnreachable(dst []byte, kind ICMPKind, from Addr, offending *Packet, mtu int) (int, bool) {
	if !offending.mayAnswer() || from.class() != classUnicast || from.Is4() != offending.Src.Is4() {
		return 0, false
	}
	var m message
	ok := false
	if from.Is4() {
		m, ok = message4(kind, mtu)
	} else {
		m, ok = message6(kind, offending, mtu)
	}
	if !ok {
		return 0, false
	}
	return m.put(dst, from, offending)
}

// mayAnswer applies the rules about what must not be answered with an error message.
func (p *Packet) mayAnswer() bool {
	if p.version() == 0 || p.Martian() != DropNone || p.Fragment.Offset != 0 {
		return false
	}
	switch p.Protocol {
	case ProtocolICMP:
		return p.version() == 4 && len(p.Payload) > 0 && isQuery4(p.Payload[0])
	case ProtocolICMPv6:
		return p.version() == 6 && len(p.Payload) > 0 &&
			p.Payload[0] >= type6Informational && p.Payload[0] != type6Redirect
	case ProtocolTCP:
		const flagsAt, flagRST = 13, 4
		return len(p.Payload) > flagsAt && p.Payload[flagsAt]&flagRST == 0
	}
	return true
}

// isQuery4 reports whether an ICMPv4 type is known to be none of the errors: echo, router discovery, timestamp,
// information and address mask. About other types nothing is sent.
func isQuery4(kind uint8) bool {
	return kind == type4EchoReply || kind >= type4Echo && kind <= 10 || kind >= 13 && kind <= 18
}

// message is the beginning of an ICMP error.
type message struct {
	kind, code uint8
	rest       uint32 // second word of the header
}

func message4(kind ICMPKind, mtu int) (message, bool) {
	switch kind {
	case NetUnreachable:
		return message{kind: type4Unreachable, code: 0}, true
	case HostUnreachable:
		return message{kind: type4Unreachable, code: 1}, true
	case ProtocolUnreachable:
		return message{kind: type4Unreachable, code: 2}, true
	case PortUnreachable:
		return message{kind: type4Unreachable, code: 3}, true
	case PacketTooBig:
		return message{kind: type4Unreachable, code: 4, rest: uint32(min(max(mtu, 0), 0xffff))}, true
	case AdminProhibited:
		return message{kind: type4Unreachable, code: 13}, true
	case TimeExceeded:
		return message{kind: type4TimeExceeded}, true
	}
	return message{}, false
}

func message6(kind ICMPKind, p *Packet, mtu int) (message, bool) {
	switch kind {
	case NetUnreachable:
		return message{kind: type6Unreachable, code: 0}, true
	case AdminProhibited:
		return message{kind: type6Unreachable, code: 1}, true
	case HostUnreachable:
		return message{kind: type6Unreachable, code: 3}, true
	case PortUnreachable:
		return message{kind: type6Unreachable, code: 4}, true
	case PacketTooBig:
		return message{kind: type6PacketTooBig, rest: uint32(max(mtu, 0))}, true
	case TimeExceeded:
		return message{kind: type6TimeExceeded}, true
	case ProtocolUnreachable:
		return unknownNext(p)
	case ParameterProblem:
		return badExtension(p)
	}
	return message{}, false
}

// unknownNext points at the Next Header field that names the protocol. "No next header" is not a protocol, and whatever
// follows it is ignored (RFC 8200, section 4.7).
func unknownNext(p *Packet) (message, bool) {
	e := fromFixedHeader(p.Header)
	if e.walk(p.Header) != DropNone || e.next == extensionNone || isExtension(e.next) {
		return message{}, false
	}
	return message{kind: type6ParameterProblem, code: codeUnknownNext, rest: uint32(e.nextAt)}, true
}

// badExtension walks the chain of a packet that Parse dropped once more, for the field at fault, and beyond it, in case
// that an error is what it carries.
func badExtension(p *Packet) (message, bool) {
	size := HeaderLen6 + len(p.Payload)
	if len(p.Header) != HeaderLen6 || cap(p.Header) < size {
		return message{}, false
	}
	whole := p.Header[:size]
	e, beyond := fromFixedHeader(whole), fromFixedHeader(whole)
	if e.walk(whole) == DropNone || !e.fault.answer {
		return message{}, false
	}
	beyond.lenient = true
	if beyond.walk(whole) != DropNone {
		return message{}, false
	}
	inner := Packet{
		Src: p.Src, Dst: p.Dst, Protocol: beyond.next, Header: whole[:beyond.end], Payload: whole[beyond.end:],
		Fragment: beyond.fragment,
	}
	if !inner.mayAnswer() {
		return message{}, false
	}
	return message{kind: type6ParameterProblem, code: e.fault.code, rest: uint32(e.fault.at)}, true
}

// put writes headers, and as much of the offending packet as the family allows.
func (m message) put(dst []byte, from Addr, p *Packet) (int, bool) {
	h := Header{Src: from, Dst: p.Src, Protocol: ProtocolICMPv6, DontFragment: true}
	limit := maxError6
	if from.Is4() {
		h.Protocol, limit = ProtocolICMP, maxError4
	}
	embedded := min(len(p.Header)+len(p.Payload), limit-h.Len()-icmpHeaderLen)
	n := h.Len() + icmpHeaderLen + embedded
	if len(dst) < n {
		return 0, false
	}
	h.PayloadLen = icmpHeaderLen + embedded
	b := dst[h.Put(dst):n]
	b[0], b[1] = m.kind, m.code
	binary.BigEndian.PutUint32(b[4:], m.rest)
	rest := b[icmpHeaderLen:]
	copy(rest[copy(rest, p.Header):], p.Payload)
	putICMPChecksum(b, &h)
	return n, true
}
