package ip

import (
	"encoding/binary"
	"errors"
	"math/bits"
)

// ErrNotSegmentable is returned for a super-packet that is not TCP over IPv4 or IPv6, or an outgoing packet whose lengths do
// not fit together. It is a mistake of whoever built the packet.
var ErrNotSegmentable = errors.New("ip: outgoing packet cannot be segmented: not TCP, or header lengths wrong")

// Flags in byte 13 of the TCP header (RFC 9293, section 3.1; CWR: RFC 3168, section 6.1).
const (
	tcpFlagsAt    = 13
	tcpChecksumAt = 16
	tcpFIN        = 0x01
	tcpPSH        = 0x08
	tcpCWR        = 0x80
)

// Segmenter does in software what a link with segmentation and checksum offload does: it makes packets with complete
// checksums of a super-packet. It is reused, by one goroutine at a time, and allocates nothing in the long run.
type Segmenter struct {
	out    Outgoing // its header and list of payloads are kept for reuse
	part   int      // of the payload, where the next segment begins
	offset int      // in that part
}

// Split calls emit for each packet that o stands for, in order, until emit returns an error, which Split returns too. All
// have Offload{}: complete checksums, nothing left to do. What emit receives is borrowed until it returns; o itself is not
// changed, and its payload not copied.
//
// As the kernel does: FIN and PSH go to the last segment only, CWR to the first only (RFC 3168, section 6.1.2), and the
// IPv4 ID counts up.
func (s *Segmenter) Split(o *Outgoing, emit func(*Outgoing) error) error {
	if !s.begin(o) {
		return ErrNotSegmentable
	}
	if o.Offload.SegmentSize == 0 {
		return s.whole(o, emit)
	}
	s.out.Offload = Offload{}
	return s.parts(o, int(o.Offload.SegmentSize), emit)
}

// Cut is Split for a link that takes super-packets, but none as long as this one: it makes shorter ones, of at most longest
// bytes, with the offload of o.
func (s *Segmenter) Cut(o *Outgoing, longest int, emit func(*Outgoing) error) error {
	if o.Offload.SegmentSize == 0 || !s.begin(o) {
		return ErrNotSegmentable
	}
	size := int(o.Offload.SegmentSize)
	s.out.Offload, s.out.ChecksumOffset = o.Offload, o.ChecksumOffset
	return s.parts(o, max((longest-len(s.out.Header))/size, 1)*size, emit)
}

// parts emits packets of size bytes of data.
func (s *Segmenter) parts(o *Outgoing, size int, emit func(*Outgoing) error) error {
	left := o.Len() - len(o.Header)
	for sent := 0; ; sent += size {
		n := min(size, left-sent)
		s.takePayload(o, n)
		s.segment(o, sent/int(o.Offload.SegmentSize), sent, sent+n == left)
		if err := emit(&s.out); err != nil || sent+n == left {
			return err
		}
	}
}

// begin checks o, and copies its header, without the jumbo payload option: its parts have none.
func (s *Segmenter) begin(o *Outgoing) bool {
	if !o.splittable() {
		return false
	}
	s.part, s.offset = 0, 0
	if h := o.Header; o.jumbo() {
		s.out.Header = append(append(s.out.Header[:0], h[:HeaderLen6]...), h[o.NetworkLen:]...)
		s.out.Header[nextHeaderAt] = h[HeaderLen6]
		s.out.NetworkLen = HeaderLen6
	} else {
		s.out.Header, s.out.NetworkLen = append(s.out.Header[:0], h...), o.NetworkLen
	}
	return true
}

// jumbo reports whether the network header is one that Header.Put has given a jumbo payload option.
func (o *Outgoing) jumbo() bool {
	h := o.Header
	return o.NetworkLen == MaxHeaderLen && h[0]>>4 == 6 && h[nextHeaderAt] == extensionHopByHop && h[HeaderLen6+2] == option6Jumbo
}

// splittable reports whether the lengths fit together, and a super-packet is TCP.
func (o *Outgoing) splittable() bool {
	h, n := o.Header, o.NetworkLen
	if n < HeaderLen4 || n > len(h) {
		return false
	}
	switch h[0] >> 4 {
	case 4:
		if int(h[0]&0xf)*4 != n {
			return false
		}
	case 6:
		if n < HeaderLen6 {
			return false
		}
	default:
		return false
	}
	if o.Offload.SegmentSize == 0 {
		return o.Offload.Checksum != ChecksumPartial || o.ChecksumOffset >= 0 && n+o.ChecksumOffset+2 <= len(h)
	}
	return o.protocol() == ProtocolTCP && len(h)-n >= minTCPHeader && len(h)-n == int(h[n+12]>>4)*4
}

// protocol returns what the network header says to carry.
func (o *Outgoing) protocol() uint8 {
	if o.Header[0]>>4 == 4 {
		return o.Header[9]
	}
	switch {
	case o.NetworkLen == HeaderLen6:
		return o.Header[nextHeaderAt]
	case o.jumbo():
		return o.Header[HeaderLen6]
	}
	e := fromFixedHeader(o.Header)
	if e.walk(o.Header[:o.NetworkLen]) != DropNone || e.end != o.NetworkLen {
		return extensionNone
	}
	return e.next
}

// whole emits an ordinary packet, its checksum completed.
func (s *Segmenter) whole(o *Outgoing, emit func(*Outgoing) error) error {
	s.out.Payload = append(s.out.Payload[:0], o.Payload...)
	if o.Offload.Checksum == ChecksumPartial {
		// The field holds the sum of the pseudo-header, and is summed along with the rest.
		transport := s.out.Header[o.NetworkLen:]
		sum := ^s.sumFrom(transport, 0)
		if sum == 0 && o.protocol() == ProtocolUDP {
			sum = 0xffff // zero says that there is none (RFC 768)
		}
		binary.BigEndian.PutUint16(transport[o.ChecksumOffset:], sum)
	}
	return emit(&s.out)
}

// takePayload makes the next n bytes of o's payload that of the packet to be emitted.
func (s *Segmenter) takePayload(o *Outgoing, n int) {
	s.out.Payload = s.out.Payload[:0]
	for n > 0 {
		b := o.Payload[s.part][s.offset:]
		if len(b) <= n {
			s.part, s.offset = s.part+1, 0
		} else {
			b = b[:n]
			s.offset += n
		}
		if len(b) > 0 {
			s.out.Payload = append(s.out.Payload, b)
		}
		n -= len(b)
	}
}

// segment writes the header of a part that begins with segment number index, and byte sent of the super-packet's data.
func (s *Segmenter) segment(o *Outgoing, index, sent int, last bool) {
	be := binary.BigEndian
	h, network := s.out.Header, s.out.NetworkLen
	transport := h[network:]
	be.PutUint32(transport[4:], be.Uint32(o.Header[o.NetworkLen+4:])+uint32(sent))
	flags := o.Header[o.NetworkLen+tcpFlagsAt]
	if !last {
		flags &^= tcpFIN | tcpPSH
	}
	if index > 0 {
		flags &^= tcpCWR
	}
	transport[tcpFlagsAt] = flags
	be.PutUint16(transport[tcpChecksumAt:], 0)
	length := s.out.Len()
	sum := pseudoSumOf(h, length-network)
	if s.out.Offload.Checksum == ChecksumFull {
		sum = ^s.sumFrom(transport, sum)
	}
	be.PutUint16(transport[tcpChecksumAt:], sum)
	if h[0]>>4 == 6 {
		be.PutUint16(h[4:], uint16(length-HeaderLen6))
		return
	}
	be.PutUint16(h[2:], uint16(length))
	be.PutUint16(h[4:], be.Uint16(o.Header[4:])+uint16(index))
	putHeaderChecksum(h[:network])
}

// pseudoSumOf is PseudoSum for TCP with the addresses of a header.
func pseudoSumOf(h []byte, length int) uint16 {
	if h[0]>>4 == 4 {
		return PseudoSum(Addr4([4]byte(h[12:16])), Addr4([4]byte(h[16:20])), ProtocolTCP, length)
	}
	return PseudoSum(Addr(h[8:24]), Addr(h[24:40]), ProtocolTCP, length)
}

// sumFrom sums the transport header and the payload of the packet to be emitted.
func (s *Segmenter) sumFrom(transport []byte, initial uint16) uint16 {
	sum, odd := Sum(transport, initial), len(transport)%2 != 0
	for _, b := range s.out.Payload {
		if odd {
			// In a piece that begins at an odd place, high and low bytes are swapped (RFC 1071, section 2 (B)).
			sum = bits.ReverseBytes16(Sum(b, bits.ReverseBytes16(sum)))
		} else {
			sum = Sum(b, sum)
		}
		odd = odd != (len(b)%2 != 0)
	}
	return sum
}
