package tun

import (
	"encoding/binary"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

// headerLen is the length of struct virtio_net_hdr, which precedes every frame of a queue with IFF_VNET_HDR.
const headerLen = 10

const (
	// shortPacket is how long a super-packet may be wherever there are any.
	shortPacket = 65535
	// maxPacket is the largest IP packet a header can describe: an IPv6 header and 65,535 bytes behind it (RFC 8200, section 3).
	maxPacket = ip.HeaderLen6 + 65535
	// longPacket is the largest that is written to a kernel that takes longer ones: as much as captures keep of a packet, unless
	// told otherwise.
	longPacket = 256 << 10
)

const (
	tcpHeaderMin      = 20
	tcpFlagsOffset    = 13
	tcpFlagCWR        = 0x80
	tcpChecksumOffset = 16
	udpChecksumOffset = 6
)

// HeaderDrop says why a frame that the device handed over was not delivered. The zero value: it was.
type HeaderDrop uint8

// The reasons, in the order in which they are looked for.
const (
	HeaderOK          HeaderDrop = iota
	HeaderShort                  // fewer bytes than a virtio header
	HeaderEmpty                  // no packet behind the header
	FrameOversize                // larger than any IP packet
	HeaderFlags                  // a flag that we never agreed to
	HeaderUDP                    // a UDP super-datagram; we ask the kernel for none
	HeaderType                   // an unknown kind of super-packet
	HeaderFamily                 // a super-packet that is not TCP of the family it claims
	HeaderSegmentSize            // segment size 0, or larger than the packet
	HeaderNoChecksum             // a super-packet whose checksum nobody vouches for
	HeaderStart                  // the checksum does not start where the transport header starts
	HeaderField                  // the checksum field is outside of the packet, or not the one of the protocol
	NumHeaderDrops
)

var headerDropNames = [NumHeaderDrops]string{
	"ok", "virtio_header_short", "virtio_frame_empty", "frame_oversize", "virtio_flags", "virtio_gso_udp", "virtio_gso_type",
	"virtio_gso_family", "virtio_gso_size", "virtio_gso_no_checksum", "virtio_checksum_start", "virtio_checksum_field",
}

// String returns the reason as a metric label.
func (d HeaderDrop) String() string {
	if d < NumHeaderDrops {
		return headerDropNames[d]
	}
	return "unknown"
}

// parseHeader takes the virtio header off a frame and checks all of it against the packet behind it, which it returns
// together with what the header says. hdr_len is ignored: the specification calls it a hint, and forwarded packets carry
// their whole length in it. The packet itself is judged by package ip.
func parseHeader(frame []byte) (packet []byte, o ip.Offload, d HeaderDrop) {
	if len(frame) < headerLen {
		return nil, o, HeaderShort
	}
	h, packet := frame[:headerLen], frame[headerLen:]
	if len(packet) == 0 {
		return nil, o, HeaderEmpty
	}
	if len(packet) > maxPacket {
		return nil, o, FrameOversize
	}
	flags := h[0]
	switch {
	case flags&^(unix.VIRTIO_NET_HDR_F_NEEDS_CSUM|unix.VIRTIO_NET_HDR_F_DATA_VALID) != 0:
		return nil, o, HeaderFlags
	case flags&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0:
		o.Checksum = ip.ChecksumPartial
	case flags&unix.VIRTIO_NET_HDR_F_DATA_VALID != 0:
		o.Checksum = ip.ChecksumVouched
	}
	if o.Checksum == ip.ChecksumPartial {
		start := int(binary.NativeEndian.Uint16(h[6:]))
		field := int(binary.NativeEndian.Uint16(h[8:]))
		if d = checkChecksum(packet, start, field); d != HeaderOK {
			return nil, o, d
		}
	}
	if h[1] == unix.VIRTIO_NET_HDR_GSO_NONE {
		return packet, o, HeaderOK
	}
	o.SegmentSize = binary.NativeEndian.Uint16(h[4:])
	return packet, o, checkSuper(packet, h[1], o)
}

// checkChecksum reports whether a checksum left to us is the one of the transport header. Anywhere else, the kernel would
// have completed it: a TUN device offers no offload for what is encapsulated.
func checkChecksum(packet []byte, start, field int) HeaderDrop {
	var network int
	var protocol uint8
	exact := true // start of the transport header is known
	switch packet[0] >> 4 {
	case 4:
		network = int(packet[0]&15) * 4
		if network < ip.HeaderLen4 || len(packet) < network {
			return HeaderStart
		}
		protocol = packet[9]
	case 6:
		network = ip.HeaderLen6
		if len(packet) < network {
			return HeaderStart
		}
		protocol = packet[6]
		exact = protocol == ip.ProtocolTCP || protocol == ip.ProtocolUDP // else there are extension headers
	default:
		return HeaderStart
	}
	if start < network || exact && start != network {
		return HeaderStart
	}
	if start+field+2 > len(packet) ||
		exact && protocol == ip.ProtocolTCP && field != tcpChecksumOffset ||
		exact && protocol == ip.ProtocolUDP && field != udpChecksumOffset {
		return HeaderField
	}
	return HeaderOK
}

// checkSuper reports whether a super-packet of the given kind is one that we asked for and that makes sense.
func checkSuper(packet []byte, kind uint8, o ip.Offload) HeaderDrop {
	version := packet[0] >> 4
	switch kind &^ unix.VIRTIO_NET_HDR_GSO_ECN {
	case unix.VIRTIO_NET_HDR_GSO_TCPV4:
		if version != 4 || len(packet) < ip.HeaderLen4 || packet[9] != ip.ProtocolTCP {
			return HeaderFamily
		}
	case unix.VIRTIO_NET_HDR_GSO_TCPV6:
		if version != 6 || len(packet) < ip.HeaderLen6 || packet[6] == ip.ProtocolUDP {
			return HeaderFamily
		}
	case unix.VIRTIO_NET_HDR_GSO_UDP, unix.VIRTIO_NET_HDR_GSO_UDP_L4:
		return HeaderUDP
	default:
		return HeaderType
	}
	if o.SegmentSize == 0 || int(o.SegmentSize) > len(packet) {
		return HeaderSegmentSize
	}
	if o.Checksum == ip.ChecksumFull {
		return HeaderNoChecksum
	}
	return HeaderOK
}

// putHeader writes the virtio header for p. A packet whose data fits into one segment is no super-packet.
func putHeader(h *[headerLen]byte, p *ip.Outgoing, super bool) {
	*h = [headerLen]byte{}
	if p.Offload.Checksum != ip.ChecksumPartial {
		return
	}
	h[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.NativeEndian.PutUint16(h[6:], uint16(p.NetworkLen))
	binary.NativeEndian.PutUint16(h[8:], uint16(p.ChecksumOffset))
	if !super {
		return
	}
	h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV4
	if p.Header[0]>>4 == 6 {
		h[1] = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	// RFC 3168, section 6.1.2: CWR stands on one segment only. The kernel clears it on the others when told.
	if p.Header[p.NetworkLen+tcpFlagsOffset]&tcpFlagCWR != 0 {
		h[1] |= unix.VIRTIO_NET_HDR_GSO_ECN
	}
	binary.NativeEndian.PutUint16(h[2:], uint16(len(p.Header)))
	binary.NativeEndian.PutUint16(h[4:], p.Offload.SegmentSize)
}
