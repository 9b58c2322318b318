package tcp

import (
	"encoding/binary"

	"tcpd/ip"
)

// Flags are the control bits of the header (RFC 9293, section 3.1).
type Flags uint8

// The control bits.
const (
	FIN Flags = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

func (f Flags) has(x Flags) bool { return f&x == x }

const flagLetters = "FSRPAUEC"

func (f Flags) String() string {
	var b []byte
	for i := range flagLetters {
		if f>>i&1 != 0 {
			b = append(b, flagLetters[i])
		}
	}
	return string(b)
}

const (
	headerLen    = 20
	maxOptions   = 40
	maxHeaderLen = headerLen + maxOptions
)

// segment is a received segment. Payload is borrowed from the packet.
type segment struct {
	seq, ack Seq
	flags    Flags
	window   uint16 // as in the header, before scaling
	urgent   uint16 // the pointer, from seq on
	payload  []byte
	unit     int // payload of each of the segments that a super-packet stands for
	ecn      uint8
	opts     options
}

// end returns the sequence number after the segment: SYN and FIN count one each.
func (s *segment) end() Seq {
	e := s.seq.Add(len(s.payload))
	if s.flags&SYN != 0 {
		e++
	}
	if s.flags&FIN != 0 {
		e++
	}
	return e
}

// count returns how many segments of the wire a super-packet stands for.
func (s *segment) count() int {
	if len(s.payload) <= s.unit { // dividing takes as long as everything else here
		return 1
	}
	return (len(s.payload) + s.unit - 1) / s.unit
}

// parse reads the transport header of p. The data offset has to lie within 20 bytes and the segment (attack class I04).
func (s *segment) parse(p *ip.Packet) Drop {
	b := p.Payload
	if len(b) < headerLen {
		return DropHeaderShort
	}
	off := int(b[12]>>4) * 4
	if off < headerLen || off > len(b) {
		return DropHeaderShort
	}
	if !p.TransportChecksumOK() {
		return DropChecksum
	}
	s.seq = Seq(binary.BigEndian.Uint32(b[4:]))
	s.ack = Seq(binary.BigEndian.Uint32(b[8:]))
	s.flags = Flags(b[13])
	s.window = binary.BigEndian.Uint16(b[14:])
	s.urgent = binary.BigEndian.Uint16(b[18:])
	s.payload = b[off:]
	s.ecn = p.TOS & ecnBits
	if s.unit = int(p.Offload.SegmentSize); s.unit == 0 {
		s.unit = len(s.payload)
	}
	s.opts.parse(b[headerLen:off])
	if s.flags.has(SYN|FIN) || s.flags.has(SYN|RST) || s.flags&(SYN|RST|ACK|FIN) == 0 {
		return DropFlags
	}
	return DropNone
}

// header is a TCP header to be built.
type header struct {
	flow     *Flow
	seq, ack Seq
	flags    Flags
	window   uint16
	urgent   uint16
	tos, ttl uint8  // ttl 0: 64
	options  []byte // a multiple of four bytes
}

// put writes network and transport header for a segment with payload bytes of data into b; the checksum field gets the sum
// of the pseudo-header only (ip.ChecksumPartial). It returns the lengths of both headers together and of the first.
func (h *header) put(b []byte, payload int) (total, network int) {
	f := h.flow
	n := headerLen + len(h.options)
	nh := ip.Header{
		Src: f.Local, Dst: f.Remote, Protocol: ip.ProtocolTCP, TOS: h.tos, TTL: h.ttl, DontFragment: true, PayloadLen: n + payload,
	}
	network = nh.Put(b)
	t := b[network : network+n]
	binary.BigEndian.PutUint16(t[0:], f.LocalPort)
	binary.BigEndian.PutUint16(t[2:], f.RemotePort)
	binary.BigEndian.PutUint32(t[4:], uint32(h.seq))
	binary.BigEndian.PutUint32(t[8:], uint32(h.ack))
	t[12] = byte(n/4) << 4
	t[13] = byte(h.flags)
	binary.BigEndian.PutUint16(t[14:], h.window)
	binary.BigEndian.PutUint16(t[16:], ip.PseudoSum(f.Local, f.Remote, ip.ProtocolTCP, n+payload))
	binary.BigEndian.PutUint16(t[18:], h.urgent)
	copy(t[headerLen:], h.options)
	return network + n, network
}

const checksumOffset = 16
