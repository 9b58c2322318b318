package tun

import (
	"bytes"
	"encoding/binary"
	"testing"

	"golang.org/x/sys/unix"

	"tcpd/ip"
)

const (
	needsChecksum = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	dataValid     = unix.VIRTIO_NET_HDR_F_DATA_VALID
	gsoTCP4       = unix.VIRTIO_NET_HDR_GSO_TCPV4
	gsoTCP6       = unix.VIRTIO_NET_HDR_GSO_TCPV6
	gsoECN        = unix.VIRTIO_NET_HDR_GSO_ECN
)

// virtio describes a virtio header.
type virtio struct {
	flags, kind                    uint8
	length, segment, start, offset uint16
}

func (v virtio) bytes() []byte {
	b := []byte{v.flags, v.kind}
	for _, f := range []uint16{v.length, v.segment, v.start, v.offset} {
		b = binary.NativeEndian.AppendUint16(b, f)
	}
	return b
}

// plain returns a packet that is just believable enough: version, header length, protocol.
func plain(version int, protocol uint8, size int) []byte {
	p := make([]byte, size)
	if version == 4 {
		p[0], p[9] = 0x45, protocol
	} else {
		p[0], p[6] = 0x60, protocol
	}
	return p
}

func TestParseHeader(t *testing.T) {
	tcp4, tcp6 := plain(4, ip.ProtocolTCP, 3000), plain(6, ip.ProtocolTCP, 3000)
	udp4, udp6 := plain(4, ip.ProtocolUDP, 100), plain(6, ip.ProtocolUDP, 100)
	options4 := plain(4, ip.ProtocolTCP, 100)
	options4[0] = 0x46
	hop6 := plain(6, 0, 200)
	full, partial := ip.Offload{}, ip.Offload{Checksum: ip.ChecksumPartial}
	super := ip.Offload{Checksum: ip.ChecksumPartial, SegmentSize: 1448}
	tests := []struct {
		name   string
		header virtio
		packet []byte
		want   HeaderDrop
		o      ip.Offload
	}{
		{"nothing claimed: the checksum is to be verified", virtio{}, tcp4, HeaderOK, full},
		{"DATA_VALID: vouched for", virtio{flags: dataValid}, tcp4, HeaderOK, ip.Offload{Checksum: ip.ChecksumVouched}},
		{"NEEDS_CSUM, IPv4", virtio{flags: needsChecksum, start: 20, offset: 16}, tcp4, HeaderOK, partial},
		{"NEEDS_CSUM, IPv6", virtio{flags: needsChecksum, start: 40, offset: 16}, tcp6, HeaderOK, partial},
		{"NEEDS_CSUM wins over DATA_VALID", virtio{flags: needsChecksum | dataValid, start: 20, offset: 16}, tcp4, HeaderOK, partial},
		{"NEEDS_CSUM behind IPv4 options", virtio{flags: needsChecksum, start: 24, offset: 16}, options4, HeaderOK, partial},
		{"NEEDS_CSUM behind IPv6 extension headers", virtio{flags: needsChecksum, start: 48, offset: 16}, hop6, HeaderOK, partial},
		{"NEEDS_CSUM for UDP", virtio{flags: needsChecksum, start: 20, offset: 6}, udp4, HeaderOK, partial},
		{"NEEDS_CSUM for UDP, IPv6", virtio{flags: needsChecksum, start: 40, offset: 6}, udp6, HeaderOK, partial},
		{"super-packet IPv4", virtio{needsChecksum, gsoTCP4, 52, 1448, 20, 16}, tcp4, HeaderOK, super},
		{"super-packet IPv6", virtio{needsChecksum, gsoTCP6, 72, 1448, 40, 16}, tcp6, HeaderOK, super},
		{"super-packet with ECN", virtio{needsChecksum, gsoTCP4 | gsoECN, 52, 1448, 20, 16}, tcp4, HeaderOK, super},
		{"hdr_len is ignored", virtio{needsChecksum, gsoTCP4, 0xffff, 1448, 20, 16}, tcp4, HeaderOK, super},
		{"forwarded super-packet, vouched for", virtio{flags: dataValid, kind: gsoTCP4, segment: 1448}, tcp4, HeaderOK,
			ip.Offload{Checksum: ip.ChecksumVouched, SegmentSize: 1448}},

		{"empty", virtio{}, nil, HeaderEmpty, full},
		{"oversize", virtio{}, make([]byte, maxPacket+1), FrameOversize, full},
		{"unknown flag", virtio{flags: 4}, tcp4, HeaderFlags, full},
		{"UDP fragmentation", virtio{flags: needsChecksum, kind: 3, segment: 50, start: 20, offset: 6}, udp4, HeaderUDP, full},
		{"UDP segmentation", virtio{flags: needsChecksum, kind: 5, segment: 50, start: 20, offset: 6}, udp4, HeaderUDP, full},
		{"unknown type", virtio{flags: needsChecksum, kind: 2, segment: 50, start: 20, offset: 16}, tcp4, HeaderType, full},
		{"ECN of nothing", virtio{flags: needsChecksum, kind: gsoECN, segment: 50, start: 20, offset: 16}, tcp4, HeaderType, full},
		{"TCPv4 that is IPv6", virtio{needsChecksum, gsoTCP4, 0, 1448, 40, 16}, tcp6, HeaderFamily, full},
		{"TCPv6 that is IPv4", virtio{needsChecksum, gsoTCP6, 0, 1448, 20, 16}, tcp4, HeaderFamily, full},
		{"TCPv4 that is UDP", virtio{needsChecksum, gsoTCP4, 0, 50, 20, 6}, udp4, HeaderFamily, full},
		{"segment size 0", virtio{needsChecksum, gsoTCP4, 0, 0, 20, 16}, tcp4, HeaderSegmentSize, full},
		{"segment larger than packet", virtio{needsChecksum, gsoTCP4, 0, 3001, 20, 16}, tcp4, HeaderSegmentSize, full},
		{"super-packet without any checksum", virtio{kind: gsoTCP4, segment: 1448}, tcp4, HeaderNoChecksum, full},
		{"starts inside the IPv4 header", virtio{flags: needsChecksum, start: 19, offset: 16}, tcp4, HeaderStart, full},
		{"starts inside the IPv4 options", virtio{flags: needsChecksum, start: 20, offset: 16}, options4, HeaderStart, full},
		{"starts behind the IPv4 header", virtio{flags: needsChecksum, start: 21, offset: 16}, tcp4, HeaderStart, full},
		{"starts inside the IPv6 header", virtio{flags: needsChecksum, start: 39, offset: 16}, hop6, HeaderStart, full},
		{"starts behind the IPv6 header of TCP", virtio{flags: needsChecksum, start: 48, offset: 16}, tcp6, HeaderStart, full},
		{"checksum of no known version", virtio{flags: needsChecksum, start: 20, offset: 16}, make([]byte, 100), HeaderStart, full},
		{"checksum of one byte", virtio{flags: needsChecksum, start: 20, offset: 16}, []byte{0x45}, HeaderStart, full},
		{"checksum of half an IPv6 header", virtio{flags: needsChecksum, start: 40, offset: 16}, tcp6[:39], HeaderStart, full},
		{"IPv4 header length below 5", virtio{flags: needsChecksum, start: 20, offset: 16}, append([]byte{0x44}, tcp4[1:]...), HeaderStart, full},
		{"field behind the packet", virtio{flags: needsChecksum, start: 20, offset: 16}, tcp4[:37], HeaderField, full},
		{"field at the end of numbers", virtio{flags: needsChecksum, start: 0xffff, offset: 0xffff}, hop6, HeaderField, full},
		{"not the field of TCP", virtio{flags: needsChecksum, start: 20, offset: 6}, tcp4, HeaderField, full},
		{"not the field of UDP", virtio{flags: needsChecksum, start: 20, offset: 16}, udp4, HeaderField, full},
		{"not the field of TCP, IPv6", virtio{flags: needsChecksum, start: 40, offset: 6}, tcp6, HeaderField, full},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			packet, o, drop := parseHeader(append(tt.header.bytes(), tt.packet...))
			if drop != tt.want {
				t.Fatalf("the verdict is %v, want %v", drop, tt.want)
			}
			if drop == HeaderOK && (o != tt.o || !bytes.Equal(packet, tt.packet)) {
				t.Errorf("delivered %d bytes with %+v, want %d bytes with %+v", len(packet), o, len(tt.packet), tt.o)
			}
		})
	}
}

func TestParseHeaderShortFrames(t *testing.T) {
	frame := append(virtio{needsChecksum, gsoTCP4, 52, 1448, 20, 16}.bytes(), plain(4, ip.ProtocolTCP, 54)...)
	for n := range frame {
		_, _, drop := parseHeader(frame[:n])
		if n < headerLen && drop != HeaderShort || drop == HeaderOK {
			t.Errorf("a frame cut to %d bytes is judged %v", n, drop)
		}
	}
}

func TestDropNamesAreComplete(t *testing.T) {
	seen := map[string]bool{"unknown": true, "": true}
	for d := range NumHeaderDrops {
		if seen[d.String()] {
			t.Errorf("header drop %d has no name of its own: %q", d, d)
		}
		seen[d.String()] = true
	}
	for d := range NumWriteDrops {
		if seen[d.String()] {
			t.Errorf("write drop %d has no name of its own: %q", d, d)
		}
		seen[d.String()] = true
	}
}

// What we write must be acceptable to the strictest reader we know.
func TestPutHeaderSatisfiesParseHeader(t *testing.T) {
	for _, version := range []int{4, 6} {
		for _, cwr := range []bool{false, true} {
			p := outgoing(version, 1448, 2000)
			if cwr {
				p.Header[p.NetworkLen+tcpFlagsOffset] |= tcpFlagCWR
			}
			var h [headerLen]byte
			putHeader(&h, p, true)
			if ecn := h[1]&gsoECN != 0; ecn != cwr {
				t.Errorf("IPv%d: CWR is %v, the ECN bit %v", version, cwr, ecn)
			}
			_, o, drop := parseHeader(append(h[:], flatten(p)...))
			if drop != HeaderOK || o != p.Offload {
				t.Errorf("IPv%d super-packet comes back as %v %+v", version, drop, o)
			}
			putHeader(&h, p, false)
			_, o, drop = parseHeader(append(h[:], flatten(p)...))
			if drop != HeaderOK || o != (ip.Offload{Checksum: ip.ChecksumPartial}) {
				t.Errorf("IPv%d packet comes back as %v %+v", version, drop, o)
			}
		}
		var h [headerLen]byte
		putHeader(&h, &ip.Outgoing{Header: plain(version, ip.ProtocolTCP, 60)}, false)
		if h != [headerLen]byte{} {
			t.Errorf("IPv%d packet with a complete checksum got header %x", version, h)
		}
	}
}

func FuzzParseHeader(f *testing.F) {
	f.Add([]byte{})
	f.Add(make([]byte, headerLen))
	for _, version := range []int{4, 6} {
		start := uint16(20 + 10*(version-4))
		for _, v := range []virtio{{}, {flags: dataValid}, {needsChecksum, gsoTCP4, 52, 1448, start, 16}, {needsChecksum, gsoTCP6, 72, 1448, start, 16}} {
			f.Add(append(v.bytes(), plain(version, ip.ProtocolTCP, 1600)...))
		}
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		packet, o, drop := parseHeader(frame)
		if drop >= NumHeaderDrops {
			t.Fatalf("unknown reason %d", drop)
		}
		if drop != HeaderOK {
			return
		}
		if len(packet) == 0 || len(packet) != len(frame)-headerLen {
			t.Fatalf("%d bytes delivered of a frame of %d", len(packet), len(frame))
		}
		if o.SegmentSize != 0 && (int(o.SegmentSize) > len(packet) || o.Checksum == ip.ChecksumFull) {
			t.Fatalf("a super-packet of %d bytes was let pass with %+v", len(packet), o)
		}
		if o.Checksum == ip.ChecksumPartial {
			start, field := int(binary.NativeEndian.Uint16(frame[6:])), int(binary.NativeEndian.Uint16(frame[8:]))
			if start < ip.HeaderLen4 || start+field+2 > len(packet) {
				t.Fatalf("a checksum at %d+%d of %d bytes was let pass", start, field, len(packet))
			}
		}
	})
}
