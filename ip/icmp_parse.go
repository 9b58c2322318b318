package ip

import "encoding/binary"

// Parse reads the ICMP or ICMPv6 message that a parsed packet carries, and borrows its payload. The checksum is verified
// unless the packet's Offload says that it need not be. Of an error message the embedded packet is read too, and has to be
// one that p.Dst could have sent. Ignored kinds are not dropped; the caller counts them by Kind.
func (m *ICMP) Parse(p *Packet) Drop {
	if p.Fragment.IsFragment() {
		return DropICMPFragment
	}
	// Each family has its own; one within the other is noise.
	v := p.version()
	if !(v == 4 && p.Protocol == ProtocolICMP || v == 6 && p.Protocol == ProtocolICMPv6) {
		return DropICMPProtocol
	}
	b := p.Payload
	if len(b) < icmpHeaderLen {
		return DropICMPShort
	}
	if !p.TransportChecksumOK() {
		return DropICMPChecksum
	}
	*m = ICMP{Type: b[0], Code: b[1], Body: b[icmpHeaderLen:]}
	if v == 4 {
		m.Kind = icmpKind4(m.Type, m.Code)
	} else {
		m.Kind = icmpKind6(m.Type, m.Code)
	}
	return m.parseKind(p, b)
}

func (m *ICMP) parseKind(p *Packet, b []byte) Drop {
	be := binary.BigEndian
	switch {
	case m.Kind == EchoRequest || m.Kind == EchoReply:
		m.ID, m.Seq = be.Uint16(b[4:]), be.Uint16(b[6:])
		return DropNone
	case !m.Kind.isError():
		return DropNone
	}
	if m.Kind == PacketTooBig {
		m.MTU = packetTooBigMTU(p.version(), b)
	}
	if d := m.Embedded.parse(p.version(), m.Body); d != DropNone {
		return d
	}
	// The message comes to whoever sent the offending packet.
	if m.Embedded.Src != p.Dst {
		return DropICMPEmbeddedSource
	}
	return DropNone
}

// packetTooBigMTU reads 16 bits in ICMPv4 (RFC 1191, section 4) and 32 in ICMPv6 (RFC 4443, section 3.2). No MTU is larger
// than a packet can be.
func packetTooBigMTU(version int, b []byte) int {
	if version == 4 {
		return int(binary.BigEndian.Uint16(b[6:]))
	}
	return int(min(binary.BigEndian.Uint32(b[4:]), HeaderLen6+0xffff))
}

// parse reads the beginning of a packet of the given version. Its lengths are believed only as far as bytes are there:
// ICMP truncates the packet. Its IPv4 header checksum is not verified, as the TTL has changed on the way, and not every
// router brings the checksum along.
func (e *Embedded) parse(version int, b []byte) Drop {
	var d Drop
	if version == 4 {
		b, d = e.parse4(b)
	} else {
		b, d = e.parse6(b)
	}
	if d != DropNone {
		return d
	}
	return e.parseTransport(b)
}

func (e *Embedded) parse4(b []byte) (transport []byte, d Drop) {
	if len(b) < HeaderLen4 {
		return nil, DropICMPEmbeddedShort
	}
	n, total := int(b[0]&0xf)*4, int(binary.BigEndian.Uint16(b[2:]))
	if b[0]>>4 != 4 || n < HeaderLen4 || total < n {
		return nil, DropICMPEmbeddedHeader
	}
	if len(b) < n {
		return nil, DropICMPEmbeddedShort
	}
	if fragment4(b).Offset != 0 {
		return nil, DropICMPEmbeddedFragment
	}
	e.Protocol = b[9]
	e.Src, e.Dst = Addr4([4]byte(b[12:16])), Addr4([4]byte(b[16:20]))
	return b[n:min(total, len(b))], DropNone
}

func (e *Embedded) parse6(b []byte) (transport []byte, d Drop) {
	if len(b) < HeaderLen6 {
		return nil, DropICMPEmbeddedShort
	}
	if b[0]>>4 != 6 {
		return nil, DropICMPEmbeddedHeader
	}
	e.Src, e.Dst = Addr(b[8:24]), Addr(b[24:40])
	if e.Src.Is4() || e.Dst.Is4() {
		return nil, DropICMPEmbeddedHeader // or it would be taken for an IPv4 connection
	}
	b = b[:min(len(b), HeaderLen6+int(binary.BigEndian.Uint16(b[4:])))]
	x := fromFixedHeader(b)
	if x.walk(b) != DropNone {
		return nil, DropICMPEmbeddedHeader
	}
	if x.fragment.Offset != 0 || x.fragment.More && isExtension(x.next) {
		return nil, DropICMPEmbeddedFragment
	}
	e.Protocol = x.next
	return b[x.end:], DropNone
}

// parseTransport wants the eight bytes that every error message has to carry (RFC 792): for TCP the ports and the sequence
// number.
func (e *Embedded) parseTransport(b []byte) Drop {
	if e.Protocol != ProtocolTCP && e.Protocol != ProtocolUDP {
		return DropNone
	}
	if len(b) < 8 {
		return DropICMPEmbeddedShort
	}
	e.SrcPort, e.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if e.Protocol == ProtocolTCP {
		e.Seq = binary.BigEndian.Uint32(b[4:])
	}
	return DropNone
}
