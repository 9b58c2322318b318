package ip

import "encoding/binary"

// The flags and the offset share a field (RFC 791, section 3.1).
const (
	flagDontFragment   = 0x4000
	flagMoreFragments  = 0x2000
	fragmentOffsetMask = 0x1fff // in units of 8 bytes
)

// IPv4 options this stack tells apart (IANA, "IP Option Numbers").
const (
	optionEnd               = 0
	optionNoOperation       = 1
	optionLooseSourceRoute  = 131
	optionStrictSourceRoute = 137
)

func (p *Packet) parse4(b []byte) Drop {
	if len(b) < HeaderLen4 {
		return DropIPv4HeaderShort
	}
	be := binary.BigEndian
	n, total := int(b[0]&0xf)*4, int(be.Uint16(b[2:]))
	if n < HeaderLen4 || n > total {
		return DropIPv4HeaderLength
	}
	if total > len(b) {
		return DropIPv4Truncated
	}
	header := b[:n:n]
	// "A host MUST verify the IP header checksum on every received datagram and silently discard every datagram that has a
	// bad checksum" (RFC 1122, section 3.2.1.2). Offloads leave this one complete.
	if sumHeader4(header) != 0xffff {
		return DropIPv4Checksum
	}
	if n > HeaderLen4 {
		if d := checkOptions4(header[HeaderLen4:]); d != DropNone {
			return d
		}
	}
	if b[8] == 0 {
		return DropIPv4TTL
	}
	p.Header, p.Payload = header, b[n:total:total]
	p.TOS, p.TTL, p.Protocol = b[1], b[8], b[9]
	p.Src.set4(be.Uint32(b[12:]))
	p.Dst.set4(be.Uint32(b[16:]))
	p.Fragment = fragment4(header)
	return DropNone
}

// set4 is Addr4 in place, in two stores: that takes a third off the time to parse a packet (BenchmarkParse).
func (a *Addr) set4(v uint32) {
	binary.BigEndian.PutUint64(a[:8], 0)
	binary.BigEndian.PutUint64(a[8:], 0xffff<<32|uint64(v))
}

// fragment4 reads the fragment fields of an IPv4 header; the ID of a whole datagram means nothing (RFC 6864, section 4.1).
func fragment4(header []byte) Fragment {
	f := binary.BigEndian.Uint16(header[6:])
	if f&(flagMoreFragments|fragmentOffsetMask) == 0 {
		return Fragment{}
	}
	return Fragment{
		ID:     uint32(binary.BigEndian.Uint16(header[4:])),
		Offset: f & fragmentOffsetMask * 8,
		More:   f&flagMoreFragments != 0,
	}
}

// checkOptions4 steps over the options, none of which this stack acts on. Source routes are refused: a TCP that obeyed them
// would have to answer along them (RFC 9293, MUST-51 to MUST-53), which is how an attacker receives the answers to a source
// address that is not his.
func checkOptions4(b []byte) Drop {
	for len(b) > 0 {
		switch b[0] {
		case optionEnd:
			return DropNone
		case optionNoOperation:
			b = b[1:]
			continue
		case optionLooseSourceRoute, optionStrictSourceRoute:
			return DropIPv4SourceRoute
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return DropIPv4Options
		}
		b = b[b[1]:]
	}
	return DropNone
}
