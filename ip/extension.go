package ip

import "encoding/binary"

// Extension headers (IANA, "IPv6 Extension Header Types") that this stack steps over. Others, such as AH and ESP, are to it
// protocols that it does not speak.
const (
	extensionHopByHop    = 0
	extensionRouting     = 43
	extensionFragment    = 44
	extensionNone        = 59
	extensionDestination = 60
)

const (
	nextHeaderAt = 6 // of the Next Header field in the fixed header

	// RFC 8504, section 5.3, lets a host limit both; real chains have one to three headers.
	maxExtensions     = 8
	maxExtensionBytes = 256
)

// Options of hop-by-hop and destination headers (RFC 8200, section 4.2; RFC 2675).
const (
	option6Pad1  = 0
	option6Jumbo = 0xc2
)

func isExtension(next uint8) bool {
	switch next {
	case extensionHopByHop, extensionRouting, extensionFragment, extensionDestination:
		return true
	}
	return false
}

// extensions walks a chain of extension headers. The indices count from the beginning of the slice given to walk.
type extensions struct {
	next       uint8 // what follows the headers walked so far
	nextAt     int   // index of the field that says so; nextHeaderAt in the fixed header
	end        int   // index behind the headers walked so far
	count      int
	bytes      int
	fragmented bool // there was a fragment header, maybe an atomic one
	namedAt    int  // index of the field that announced the fragment header
	fragment   Fragment
	fault      fault
	lenient    bool // step over faults, too
}

// fromFixedHeader begins the walk of the packet b, which is at least as long as the fixed header.
func fromFixedHeader(b []byte) extensions {
	return extensions{next: b[nextHeaderAt], nextAt: nextHeaderAt, end: HeaderLen6}
}

// fault is the offending field of a chain, for a Parameter Problem message (RFC 4443, section 3.4).
type fault struct {
	answer bool // the RFC wants a message
	code   uint8
	at     int
}

// Codes of ICMPv6 Parameter Problem.
const (
	codeErroneousField = 0
	codeUnknownNext    = 1
	codeUnknownOption  = 2
)

// walk goes on until a header that is none of the extensions, or the fragment header of a true fragment, whose payload it
// does not look into.
func (e *extensions) walk(b []byte) Drop {
	for isExtension(e.next) && !e.fragment.IsFragment() {
		if d := e.step(b); d != DropNone {
			return d
		}
	}
	return DropNone
}

// step goes over one header; every header is at least 8 bytes long, so the walk ends.
func (e *extensions) step(b []byte) Drop {
	h := b[e.end:]
	if len(h) < 8 {
		return DropIPv6ExtensionTruncated
	}
	size := 8 + int(h[1])*8
	if e.next == extensionFragment {
		size = 8 // there the second byte is reserved
	}
	if size > len(h) {
		return DropIPv6ExtensionTruncated
	}
	e.count++
	e.bytes += size
	if e.count > maxExtensions || e.bytes > maxExtensionBytes {
		return DropIPv6ExtensionChain
	}
	if d := e.check(h[:size]); d != DropNone && !e.lenient {
		return d
	}
	e.next, e.nextAt = h[0], e.end
	e.end += size
	return DropNone
}

// check judges the header h of the kind e.next.
func (e *extensions) check(h []byte) Drop {
	switch e.next {
	case extensionHopByHop:
		// "restricted to appear immediately after an IPv6 header only" (RFC 8200, section 4.1); elsewhere it is an
		// unrecognised next header.
		if e.nextAt != nextHeaderAt {
			e.fault = fault{answer: true, code: codeUnknownNext, at: e.nextAt}
			return DropIPv6ExtensionOrder
		}
		return e.checkOptions(h)
	case extensionDestination:
		return e.checkOptions(h)
	case extensionRouting:
		// RFC 8200, section 4.4, and RFC 5095, section 3: with Segments Left zero any routing header is ignored; otherwise
		// every type, type 0 first of all, is unknown here.
		if h[3] != 0 {
			e.fault = fault{answer: true, code: codeErroneousField, at: e.end + 2}
			return DropIPv6Routing
		}
	case extensionFragment:
		return e.checkFragment(h)
	}
	return DropNone
}

// checkFragment reads a fragment header. A first and last fragment in one ("atomic") is a whole datagram and is processed
// in isolation from any fragments with the same ID (RFC 6946, section 4), so nothing of it is kept.
func (e *extensions) checkFragment(h []byte) Drop {
	if e.fragmented {
		return DropIPv6ExtensionOrder
	}
	e.fragmented, e.namedAt = true, e.nextAt
	field := binary.BigEndian.Uint16(h[2:])
	f := Fragment{ID: binary.BigEndian.Uint32(h[4:]), Offset: field &^ 7, More: field&1 != 0}
	if f.IsFragment() {
		e.fragment = f
	}
	return DropNone
}

// checkOptions steps over the options of h. None means anything to this stack but what the two highest bits of its type
// say about the packet that carries it (RFC 8200, section 4.2).
func (e *extensions) checkOptions(h []byte) Drop {
	for i := 2; i < len(h); {
		kind := h[i]
		if kind == option6Pad1 {
			i++
			continue
		}
		if i+2 > len(h) || i+2+int(h[i+1]) > len(h) {
			return DropIPv6ExtensionTruncated
		}
		if kind == option6Jumbo {
			return DropIPv6Jumbogram
		}
		if action := kind >> 6; action != 0 {
			e.fault = fault{answer: action != 1, code: codeUnknownOption, at: e.end + i}
			return DropIPv6Option
		}
		i += 2 + int(h[i+1])
	}
	return DropNone
}
