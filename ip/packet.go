package ip

// Protocol numbers this stack knows (IANA).
const (
	ProtocolICMP   = 1
	ProtocolTCP    = 6
	ProtocolUDP    = 17
	ProtocolICMPv6 = 58
)

// Checksum says what is known about the transport checksum of a packet that crosses a link.
type Checksum uint8

const (
	// ChecksumFull: the checksum field is complete. On the way in it has to be verified.
	ChecksumFull Checksum = iota
	// ChecksumPartial: the field holds the sum of the pseudo-header only. On the way in the packet never crossed a wire
	// and is not verified; on the way out the link, or the kernel behind it, completes it.
	ChecksumPartial
	// ChecksumVouched: somebody we trust has verified it. Only on the way in.
	ChecksumVouched
)

// Offload is what link and stack leave to each other, apart from the bytes.
type Offload struct {
	Checksum Checksum
	// SegmentSize is the number of payload bytes of each segment of a super-packet; 0 is an ordinary packet.
	SegmentSize uint16
}

// Packet is a received packet (or super-packet), parsed. It is meant to be reused; its slices are borrowed from the
// buffer given to Parse.
type Packet struct {
	Src, Dst Addr
	Protocol uint8 // of Payload, after any extension headers
	TOS      uint8 // DSCP and ECN: the IPv4 TOS or IPv6 traffic class byte
	TTL      uint8 // or hop limit
	Header   []byte
	Payload  []byte // transport header and data, without padding of the link
	Offload  Offload
	Fragment Fragment
}

// Fragment describes the part of a datagram that a fragment carries. The zero value is a whole datagram.
type Fragment struct {
	ID     uint32
	Offset uint16 // bytes
	More   bool
}

// IsFragment reports whether the packet is only a part of its datagram.
func (f Fragment) IsFragment() bool { return f.Offset != 0 || f.More }

// Outgoing is one packet (or super-packet) on its way to a link: network and transport header in one piece, data gathered
// from where it lies. Everything is borrowed until the link's Write returns; the link may complete checksums in Header.
type Outgoing struct {
	Header         []byte
	Payload        [][]byte
	NetworkLen     int // length of the network header: where the transport header starts
	ChecksumOffset int // of the checksum field in the transport header; only with ChecksumPartial
	Offload        Offload
}

// Len returns the length of the whole packet in bytes.
func (o *Outgoing) Len() int {
	n := len(o.Header)
	for _, p := range o.Payload {
		n += len(p)
	}
	return n
}
