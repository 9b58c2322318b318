package ip

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// datagramKey tells the datagrams of a Reassembler apart: by addresses, ID and protocol in IPv4 (RFC 791, section 2.3), and
// without the protocol in IPv6 (RFC 8200, section 4.5).
type datagramKey struct {
	src, dst Addr
	id       uint32
	version  uint8
	protocol uint8
}

func keyOf(p *Packet) datagramKey {
	k := datagramKey{src: p.Src, dst: p.Dst, id: p.Fragment.ID, version: uint8(p.version())}
	if k.version == 4 {
		k.protocol = p.Protocol
	}
	return k
}

// source is what shares one allowance: an IPv4 address, or an IPv6 /64, in which one host has all the addresses it wants.
type source struct {
	addr  Addr
	bytes int
	age   queue
}

func sourceOf(p *Packet) Addr {
	a := p.Src
	if p.version() == 6 {
		clear(a[8:])
	}
	return a
}

// datagram is one in the making.
type datagram struct {
	key    datagramKey
	source *source
	born   int64 // ns
	links  [2]struct{ older, newer *datagram }
	cost   int // bytes charged

	pieces []piece // in order, without overlap
	have   int     // bytes in pieces
	total  int     // bytes of payload, 0 until the last fragment is there
	header []byte  // of the first fragment, without fragment header
	ecn    uint8   // one bit for each codepoint seen
	dead   Drop    // why nothing more is taken
}

// piece is the payload of one fragment.
type piece struct {
	start int // byte of the datagram's payload
	data  []byte
}

func (p piece) end() int { return p.start + len(p.data) }

// place decides where among the pieces p goes. DropFragmentDuplicate concerns only p; the other reasons end the datagram.
//
//	     pieces[at-1]         p          pieces[at]
//	... |____________|     |_____|     |____________| ...      total
//	             end <= start   end <= start         ... <=
func (g *datagram) place(p *Packet) (at int, d Drop) {
	start := int(p.Fragment.Offset)
	end := start + len(p.Payload)
	at, same := slices.BinarySearchFunc(g.pieces, start, func(q piece, start int) int { return q.start - start })
	if same && bytes.Equal(g.pieces[at].data, p.Payload) && p.Fragment.More == (end != g.total) {
		return at, DropFragmentDuplicate
	}
	switch {
	case at > 0 && g.pieces[at-1].end() > start,
		at < len(g.pieces) && end > g.pieces[at].start,
		g.total != 0 && (end > g.total || !p.Fragment.More),
		!p.Fragment.More && at < len(g.pieces):
		return at, DropFragmentOverlap
	case len(g.pieces) == maxFragments:
		return at, DropFragmentCount
	}
	return at, DropNone
}

// insert copies p to its place.
func (g *datagram) insert(at int, p *Packet) {
	g.pieces = slices.Insert(g.pieces, at, piece{start: int(p.Fragment.Offset), data: bytes.Clone(p.Payload)})
	g.have += len(p.Payload)
	g.ecn |= 1 << (p.TOS & ecnMask)
	if !p.Fragment.More {
		g.total = int(p.Fragment.Offset) + len(p.Payload)
	}
	if p.Fragment.Offset == 0 {
		g.header = unfragmentedHeader(p)
	}
}

// complete reports whether all is there. Pieces do not overlap and end at total, so counting bytes suffices.
func (g *datagram) complete() bool { return g.total != 0 && g.have == g.total }

// unfragmentedHeader copies the header of a first fragment, the fragment header of IPv6 taken out: the field that announced
// it now names what followed it (RFC 8200, section 4.5).
func unfragmentedHeader(p *Packet) []byte {
	h := bytes.Clone(p.Header)
	if p.version() == 4 {
		return h
	}
	e := fromFixedHeader(h)
	e.walk(h) // as Parse did, up to the fragment header, which is the last
	h[e.namedAt] = e.next
	return h[:len(h)-fragmentHeaderLen]
}

// build appends the whole datagram to out.
func (g *datagram) build(out []byte) ([]byte, Drop) {
	const notECT, ce = 1 << 0, 1 << 3
	if g.ecn&(notECT|ce) == notECT|ce {
		// Somebody marked what must not be marked (RFC 3168, section 5.3).
		return nil, DropFragmentECN
	}
	fixed := 0 // bytes in front that the length field of the family does not count
	if g.key.version == 6 {
		fixed = HeaderLen6
	}
	if len(g.header)-fixed+g.total > 0xffff {
		return nil, DropFragmentTooLong
	}
	out = append(out, g.header...)
	for _, q := range g.pieces {
		out = append(out, q.data...)
	}
	g.finish(out[:len(g.header)], g.ecn&ce != 0)
	return out, DropNone
}

// finish turns the header of the first fragment into that of the datagram. "If any fragment has CE, the datagram has"
// (RFC 3168, section 5.3).
func (g *datagram) finish(h []byte, marked bool) {
	be := binary.BigEndian
	if g.key.version == 6 {
		be.PutUint16(h[4:], uint16(len(h)-HeaderLen6+g.total))
		if marked {
			h[1] |= ecnMask << 4
		}
		return
	}
	be.PutUint16(h[2:], uint16(len(h)+g.total))
	be.PutUint16(h[6:], 0)
	if marked {
		h[1] |= ecnMask
	}
	putHeaderChecksum(h)
}
