package ip

// Parse reads an IPv4 or IPv6 packet that begins b, with its extension headers, and borrows b until the Packet is parsed
// again or forgotten. o is what the link says about it. Bytes behind the length in the header are padding and left out.
//
// All lengths are checked here, so that those who come later may trust them. A packet that is a part of its datagram has
// Fragment set and a Payload to be given to a Reassembler. Parse does not judge addresses (see Martian) nor the payload.
//
// After a drop the Packet is not to be used, except to answer with PutUnreachable and ParameterProblem.
func (p *Packet) Parse(b []byte, o Offload) Drop {
	p.Header, p.Payload = nil, nil
	p.Offload = o
	p.Fragment = Fragment{}
	if len(b) == 0 {
		return DropEmpty
	}
	switch b[0] >> 4 {
	case 4:
		return p.parse4(b)
	case 6:
		return p.parse6(b)
	}
	return DropVersion
}

// version returns 4 or 6 for a parsed packet. It differs from the family of Src where an IPv6 packet carries IPv4-mapped
// addresses, which Martian refuses.
func (p *Packet) version() int {
	if len(p.Header) == 0 {
		return 0
	}
	return int(p.Header[0] >> 4)
}
