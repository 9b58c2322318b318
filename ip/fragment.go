package ip

const (
	fragmentHeaderLen = 8
	minTCPHeader      = 20
)

// checkFragment refuses fragments that are wrong by themselves, before anything is kept for them.
func checkFragment(p *Packet) Drop {
	f, n := p.Fragment, len(p.Payload)
	if n == 0 {
		return DropFragmentEmpty
	}
	// Offsets count in 8 bytes, so nothing could follow (RFC 8200, section 4.5).
	if f.More && n%8 != 0 {
		return DropFragmentLength
	}
	// "Ping of death": the datagram would be longer than its length field can say.
	header := len(p.Header)
	if p.version() == 6 {
		header -= HeaderLen6 + fragmentHeaderLen
	}
	if header+int(f.Offset)+n > 0xffff {
		return DropFragmentTooLong
	}
	return checkTiny(p)
}

// checkTiny refuses fragments made so that a filter in front of us cannot see the TCP header, or sees another one: a first
// fragment without the whole of it (RFC 1858, section 3; RFC 7112, section 5), or a later one that begins within the
// shortest (RFC 3128).
func checkTiny(p *Packet) Drop {
	if offset := int(p.Fragment.Offset); offset > 0 {
		if p.Protocol == ProtocolTCP && offset < minTCPHeader {
			return DropFragmentTiny
		}
		return DropNone
	}
	protocol, b := p.Protocol, p.Payload
	if p.version() == 6 && isExtension(protocol) {
		// Behind the fragment header no hop-by-hop header may come, and no other fragment header.
		e := extensions{next: protocol, nextAt: -1, fragmented: true}
		if d := e.walk(b); d == DropIPv6ExtensionTruncated {
			return DropFragmentTiny
		} else if d != DropNone {
			return d
		}
		protocol, b = e.next, b[e.end:]
	}
	if len(b) < transportHeaderLen(protocol, b) {
		return DropFragmentTiny
	}
	return DropNone
}

// transportHeaderLen returns how many bytes the transport header at the beginning of b takes, as far as b tells.
func transportHeaderLen(protocol uint8, b []byte) int {
	switch protocol {
	case ProtocolTCP:
		if len(b) < minTCPHeader {
			return minTCPHeader
		}
		return int(b[12]>>4) * 4
	case ProtocolUDP, ProtocolICMP, ProtocolICMPv6:
		return 8
	}
	return 0
}
