package ip

// class sorts addresses by what may be done with them as an end of a conversation.
type class uint8

const (
	classUnicast class = iota
	classUnspecified
	classLoopback
	classMulticast
	classReserved // class E, broadcast, 0.0.0.0/8, IPv4-compatible
)

func (a Addr) class() class {
	if a.Is4() {
		return class4([4]byte(a[12:]))
	}
	if a[0] == 0xff {
		return classMulticast
	}
	if [12]byte(a[:12]) != [12]byte{} {
		return classUnicast
	}
	// ::/96: two special addresses, the others "IPv4-compatible", deprecated by RFC 4291, section 2.5.5.1.
	switch [4]byte(a[12:]) {
	case [4]byte{}:
		return classUnspecified
	case [4]byte{3: 1}:
		return classLoopback
	}
	return classReserved
}

func class4(b [4]byte) class {
	switch {
	case b == [4]byte{}:
		return classUnspecified
	case b[0] == 0: // "this network", RFC 1122, section 3.2.1.3 (b)
		return classReserved
	case b[0] == 127:
		return classLoopback
	case b[0] >= 240: // class E and limited broadcast
		return classReserved
	case b[0] >= 224:
		return classMulticast
	}
	return classUnicast
}

// Unicast reports whether a is the address of a single host, with which a connection can be had. Which addresses are the
// broadcast addresses of our networks, the caller knows.
func (a Addr) Unicast() bool { c := a.class(); return c == classUnicast || c == classLoopback }

// Martian judges the addresses of a parsed packet by themselves: both have to be those of single hosts, and of different
// ones. "A host MUST silently discard a datagram containing an IP source address that is invalid" (RFC 1122, section
// 3.2.1.3), and TCP is spoken with single hosts only (RFC 9293, MUST-57). Which addresses are ours, and which are the
// broadcast addresses of our networks, the caller knows.
func (p *Packet) Martian() Drop {
	if p.version() == 6 && (p.Src.Is4() || p.Dst.Is4()) {
		// On the wire these could pass for IPv4 addresses behind any filter (RFC 6890, table 20).
		return DropMartianMapped
	}
	if c := p.Src.class(); c != classUnicast {
		return martianSource(c)
	}
	if c := p.Dst.class(); c != classUnicast {
		return martianDestination(c)
	}
	if p.Src == p.Dst {
		return DropMartianLand
	}
	return DropNone
}

func martianSource(c class) Drop {
	switch c {
	case classUnspecified:
		return DropMartianSourceUnspecified
	case classLoopback:
		return DropMartianSourceLoopback
	case classMulticast:
		return DropMartianSourceMulticast
	}
	return DropMartianSourceReserved
}

func martianDestination(c class) Drop {
	switch c {
	case classUnspecified:
		return DropMartianDestinationUnspecified
	case classLoopback:
		return DropMartianDestinationLoopback
	case classMulticast:
		return DropMartianDestinationMulticast
	}
	return DropMartianDestinationReserved
}
