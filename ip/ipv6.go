package ip

import "encoding/binary"

func (p *Packet) parse6(b []byte) Drop {
	if len(b) < HeaderLen6 {
		return DropIPv6HeaderShort
	}
	be := binary.BigEndian
	length := int(be.Uint16(b[4:]))
	if length == 0 && b[6] == extensionHopByHop {
		// RFC 2675, section 3: the length is in an option. Nothing this stack attaches to carries more than 64 KiB.
		return DropIPv6Jumbogram
	}
	if length > len(b)-HeaderLen6 {
		return DropIPv6Truncated
	}
	b = b[: HeaderLen6+length : HeaderLen6+length]
	// RFC 8200, section 3, would let the destination accept it. As no router forwards such a packet, it was sent that way
	// by a neighbour, and the IPv4 rule is applied to both families.
	if b[7] == 0 {
		return DropIPv6HopLimit
	}
	p.TOS, p.TTL = uint8(be.Uint16(b)>>4), b[7]
	p.Src, p.Dst = Addr(b[8:24]), Addr(b[24:40])
	p.Protocol = b[6]
	p.Header, p.Payload = b[:HeaderLen6:HeaderLen6], b[HeaderLen6:]
	if !isExtension(p.Protocol) {
		return DropNone
	}
	return p.parseExtensions(b)
}

// parseExtensions moves the extension headers from Payload to Header. When it drops, Header remains the fixed header only,
// and its capacity the whole packet: badExtension counts on both.
func (p *Packet) parseExtensions(b []byte) Drop {
	e := fromFixedHeader(b)
	if d := e.walk(b); d != DropNone {
		p.Header = b[:HeaderLen6]
		return d
	}
	p.Protocol = e.next
	p.Header, p.Payload = b[:e.end:e.end], b[e.end:]
	p.Fragment = e.fragment
	return DropNone
}
