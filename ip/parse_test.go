package ip

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

func TestAttack_I01_shortFrames(t *testing.T) {
	if d := parseDrop(nil); d != DropEmpty {
		t.Errorf("an empty frame: %v", d)
	}
	eachFamily(t, func(t *testing.T, f family) {
		b := f.build(ProtocolTCP, f.tcp(0x10, nil))
		for n := 1; n < len(b); n++ {
			if d := parseDrop(b[:n:n]); d == DropNone {
				t.Errorf("%d of %d bytes were accepted", n, len(b))
			}
		}
	})
}

func TestAttack_I04_lengths4(t *testing.T) {
	// Every IHL, every total length and every device length up to 80.
	for ihl := range 16 {
		for total := range 81 {
			for device := range 81 {
				want := DropNone
				switch n := ihl * 4; {
				case device == 0:
					want = DropEmpty
				case device < HeaderLen4:
					want = DropIPv4HeaderShort
				case n < HeaderLen4 || n > total:
					want = DropIPv4HeaderLength
				case total > device:
					want = DropIPv4Truncated
				}
				checkLengths4(t, ihl, total, device, want)
			}
		}
	}
}

func checkLengths4(t *testing.T, ihl, total, device int, want Drop) {
	b := make([]byte, 80)
	(&Header{Src: families[0].peer, Dst: families[0].ours, Protocol: ProtocolTCP}).Put(b)
	b[0] = 4<<4 | uint8(ihl)
	binary.BigEndian.PutUint16(b[2:], uint16(total))
	if n := ihl * 4; n >= HeaderLen4 {
		putHeaderChecksum(b[:n])
	}
	var p Packet
	d := p.Parse(b[:device:device], Offload{})
	if d != want {
		t.Fatalf("IHL %d, total %d, device %d: %v, want %v", ihl, total, device, d, want)
	}
	if d == DropNone && (len(p.Header) != ihl*4 || len(p.Header)+len(p.Payload) != total) {
		t.Fatalf("IHL %d, total %d, device %d: header %d, payload %d", ihl, total, device, len(p.Header), len(p.Payload))
	}
}

func TestAttack_I04_lengths6(t *testing.T) {
	for length := range 81 {
		for device := range 121 {
			b := make([]byte, 120)
			(&Header{Src: families[1].peer, Dst: families[1].ours, Protocol: ProtocolTCP, PayloadLen: length}).Put(b)
			want := DropNone
			switch {
			case device == 0:
				want = DropEmpty
			case device < HeaderLen6:
				want = DropIPv6HeaderShort
			case HeaderLen6+length > device:
				want = DropIPv6Truncated
			}
			var p Packet
			d := p.Parse(b[:device:device], Offload{})
			if d != want {
				t.Fatalf("payload length %d, device %d: %v, want %v", length, device, d, want)
			}
			if d == DropNone && (len(p.Header) != HeaderLen6 || len(p.Payload) != length) {
				t.Fatalf("payload length %d, device %d: header %d, payload %d", length, device, len(p.Header), len(p.Payload))
			}
		}
	}
}

func TestAttack_I16_versionTTLJumbo(t *testing.T) {
	for version := range 16 {
		for _, f := range families {
			b := f.build(ProtocolTCP, f.tcp(0x10, nil))
			right := int(b[0]>>4) == version
			b[0] = b[0]&0xf | uint8(version)<<4
			if d := parseDrop(b); (d == DropNone) != right || version != 4 && version != 6 && d != DropVersion {
				t.Errorf("%s packet with version %d: %v", f.name, version, d)
			}
		}
	}
	b := families[0].build(ProtocolTCP, nil)
	b[8] = 0
	putHeaderChecksum(b)
	if d := parseDrop(b); d != DropIPv4TTL {
		t.Errorf("TTL 0: %v", d)
	}
	b = families[1].build(ProtocolTCP, nil)
	b[7] = 0
	if d := parseDrop(b); d != DropIPv6HopLimit {
		t.Errorf("hop limit 0: %v", d)
	}
	// RFC 2675: payload length 0 and the length in an option; also in disguise, beside a payload length.
	b = with6(extensionHopByHop, []byte{ProtocolTCP, 0, option6Jumbo, 4, 0, 1, 0, 0})
	if d := parseDrop(b); d != DropIPv6Jumbogram {
		t.Errorf("jumbo option with a payload length: %v", d)
	}
	b[4], b[5] = 0, 0
	if d := parseDrop(b); d != DropIPv6Jumbogram {
		t.Errorf("jumbogram: %v", d)
	}
}

func TestParse_headerChecksum4(t *testing.T) {
	f := families[0]
	good := f.build(ProtocolTCP, f.tcp(0x10, nil))
	for i := range HeaderLen4 * 8 {
		b := bytes.Clone(good)
		b[i/8] ^= 1 << (i % 8)
		if d := parseDrop(b); d == DropNone {
			t.Errorf("bit %d of the header changed, and the packet passes", i)
		}
	}
	// Offloads concern the transport checksum only.
	good[10]++
	for _, c := range []Checksum{ChecksumFull, ChecksumPartial, ChecksumVouched} {
		var p Packet
		if d := p.Parse(good, Offload{Checksum: c}); d != DropIPv4Checksum {
			t.Errorf("checksum offload %d: %v", c, d)
		}
	}
}

// withOptions returns an IPv4 packet with the options, padded to a multiple of four with a byte.
func withOptions(pad byte, options ...byte) []byte {
	for len(options)%4 != 0 {
		options = append(options, pad)
	}
	b := families[0].build(ProtocolTCP, append(options, "data"...))
	b[0] = 4<<4 | uint8(HeaderLen4+len(options))/4
	putHeaderChecksum(b[:HeaderLen4+len(options)])
	return b
}

func TestAttack_I05_options(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []byte
		want    Drop
	}{
		{"no operation", []byte{1, 1, 1, 1}, DropNone},
		{"end, then rubbish", []byte{0, 131, 255, 7}, DropNone},
		{"record route", []byte{7, 7, 4, 0, 0, 0, 0}, DropNone},
		{"timestamp", []byte{68, 8, 5, 0, 0, 0, 0, 0}, DropNone},
		{"router alert", []byte{148, 4, 0, 0}, DropNone},
		{"unknown", []byte{222, 2}, DropNone},
		{"loose source route", []byte{131, 7, 4, 10, 77, 0, 9}, DropIPv4SourceRoute},
		{"strict source route", []byte{137, 7, 4, 10, 77, 0, 9}, DropIPv4SourceRoute},
		{"source route behind another", []byte{1, 222, 3, 0, 131, 3, 4}, DropIPv4SourceRoute},
		{"length 0", []byte{7, 0}, DropIPv4Options},
		{"length 1", []byte{7, 1}, DropIPv4Options},
		{"length beyond", []byte{7, 5, 1, 1}, DropIPv4Options},
		{"length missing", []byte{1, 1, 1, 7}, DropIPv4Options},
		{"forty bytes", bytes.Repeat([]byte{222, 4, 0, 0}, 10), DropNone},
	} {
		b := withOptions(1, c.options...)
		var p Packet
		if d := p.Parse(b, Offload{}); d != c.want {
			t.Errorf("%s: %v, want %v", c.name, d, c.want)
		} else if d == DropNone && string(p.Payload) != "data" {
			t.Errorf("%s: payload %q", c.name, p.Payload)
		}
	}
}

// extension returns an extension header with 8*n+6 bytes of options or other contents behind its two first bytes.
func extension(next uint8, contents ...byte) []byte {
	for len(contents)%8 != 6 {
		contents = append(contents, option6Pad1)
	}
	return append([]byte{next, uint8((len(contents) - 6) / 8)}, contents...)
}

func TestAttack_I06_extensionHeaders(t *testing.T) {
	const tcp, hop, dst = ProtocolTCP, extensionHopByHop, extensionDestination
	const routing, fragment = extensionRouting, extensionFragment
	f := families[1]
	segment := f.tcp(0x10, []byte("data"))
	pad := []byte{1, 4, 0, 0, 0, 0}
	atomic := []byte{tcp, 0, 0, 0, 1, 2, 3, 4}
	for _, c := range []struct {
		name   string
		first  uint8
		chain  []byte
		want   Drop
		header int
	}{
		{"none", tcp, nil, DropNone, 40},
		{"hop-by-hop", hop, extension(tcp, pad...), DropNone, 48},
		{"destination twice", dst, slices.Concat(extension(dst, pad...), extension(tcp)), DropNone, 56},
		{"hop-by-hop second", dst, slices.Concat(extension(hop), extension(tcp)), DropIPv6ExtensionOrder, 0},
		{"hop-by-hop twice", hop, slices.Concat(extension(hop), extension(tcp)), DropIPv6ExtensionOrder, 0},
		{"routing type 0, used up", routing, extension(tcp, 0, 0), DropNone, 48},
		{"routing type 0", routing, extension(tcp, 0, 1, 0, 0, 0, 0), DropIPv6Routing, 0},
		{"routing type 4", routing, extension(tcp, 4, 3, 0, 0, 0, 0), DropIPv6Routing, 0},
		{"router alert", hop, extension(tcp, 5, 2, 0, 0), DropNone, 48},
		{"unknown option, skip", dst, extension(tcp, 0x1e, 0), DropNone, 48},
		{"unknown option, discard", dst, extension(tcp, 0x5e, 0), DropIPv6Option, 0},
		{"unknown option, discard and tell", dst, extension(tcp, 0x9e, 0), DropIPv6Option, 0},
		{"home address", dst, extension(tcp, append([]byte{0xc9, 16}, make([]byte, 16)...)...), DropIPv6Option, 0},
		{"option beyond its header", dst, extension(tcp, 1, 5, 0, 0, 0, 0), DropIPv6ExtensionTruncated, 0},
		{"option without length", dst, extension(tcp, 0, 0, 0, 0, 0, 1), DropIPv6ExtensionTruncated, 0},
		{"header beyond the packet", dst, []byte{tcp, 200, 0, 0, 0, 0, 0, 0}, DropIPv6ExtensionTruncated, 0},
		{"eight", dst, slices.Concat(bytes.Repeat(extension(dst), 7), extension(tcp)), DropNone, 40 + 64},
		{"nine", dst, slices.Concat(bytes.Repeat(extension(dst), 8), extension(tcp)), DropIPv6ExtensionChain, 0},
		{"256 bytes", dst, extension(tcp, make([]byte, 254)...), DropNone, 40 + 256},
		{"264 bytes", dst, extension(tcp, make([]byte, 262)...), DropIPv6ExtensionChain, 0},
		{"atomic fragment twice", fragment, append([]byte{fragment, 0, 0, 0, 1, 2, 3, 4}, atomic...), DropIPv6ExtensionOrder, 0},
	} {
		var p Packet
		d := p.Parse(with6(c.first, append(bytes.Clone(c.chain), segment...)), Offload{})
		if d != c.want {
			t.Errorf("%s: %v, want %v", c.name, d, c.want)
		} else if d == DropNone && (p.Protocol != tcp || !bytes.Equal(p.Payload, segment) || len(p.Header) != c.header) {
			t.Errorf("%s: protocol %d, header of %d bytes, payload %x", c.name, p.Protocol, len(p.Header), p.Payload)
		}
		if d == DropNone && !p.TransportChecksumOK() {
			t.Errorf("%s: the checksum is wrong behind the chain", c.name)
		}
	}
}

func TestAttack_I06_truncatedChains(t *testing.T) {
	chain := slices.Concat(extension(extensionDestination), extension(extensionRouting, make([]byte, 14)...), extension(ProtocolTCP, 0, 0))
	for n := range len(chain) {
		if d := parseDrop(with6(extensionDestination, chain[:n])); d != DropIPv6ExtensionTruncated {
			t.Errorf("%d of %d bytes: %v", n, len(chain), d)
		}
	}
}

func TestAttack_I11_atomicFragments(t *testing.T) {
	f := families[1]
	segment := f.tcp(0x10, []byte("data"))
	// The reserved bits and the ID mean nothing.
	for _, reserved := range []byte{0, 2, 4, 6} {
		b := with6(extensionFragment, append([]byte{ProtocolTCP, 0xff, 0, reserved, 9, 9, 9, 9}, segment...))
		p := mustParse(t, b)
		if p.Fragment != (Fragment{}) || p.Fragment.IsFragment() {
			t.Errorf("an atomic fragment is a whole datagram, not %+v", p.Fragment)
		}
		if p.Protocol != ProtocolTCP || !bytes.Equal(p.Payload, segment) || !p.TransportChecksumOK() {
			t.Errorf("protocol %d, payload %x", p.Protocol, p.Payload)
		}
	}
}

func TestParse_fragments(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		data := bytes.Repeat([]byte("12345678"), 200)
		b := f.build(ProtocolTCP, data)
		for _, want := range []Fragment{
			{ID: 0x1234, Offset: 0, More: true},
			{ID: 0x1234, Offset: 8, More: true},
			{ID: 0x1234, Offset: 1024, More: false},
		} {
			from := int(want.Offset)
			p := mustParse(t, cut(b, want.ID, from, from+64, want.More))
			if p.Fragment != want || !p.Fragment.IsFragment() {
				t.Errorf("%+v, want %+v", p.Fragment, want)
			}
			if p.Protocol != ProtocolTCP || !bytes.Equal(p.Payload, data[from:from+64]) {
				t.Errorf("protocol %d, payload %q", p.Protocol, p.Payload)
			}
		}
	})
}

func TestParse_forgetsThePacketBefore(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.build(ProtocolTCP, make([]byte, 64))
		p := mustParse(t, cut(b, 7, 8, 16, true))
		if d := p.Parse(b, Offload{SegmentSize: 9}); d != DropNone || p.Fragment.IsFragment() || p.Offload.SegmentSize != 9 {
			t.Errorf("%v, fragment %+v, offload %+v", d, p.Fragment, p.Offload)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, fam := range families {
		b := fam.build(ProtocolTCP, fam.tcp(0x18, make([]byte, 64)))
		f.Add(b)
		f.Add(cut(b, 7, 0, 40, true))
		f.Add(cut(b, 7, 40, 84, false))
		f.Add(fam.build(fam.icmp, fam.icmpMessage(3, 1, 0, b)))
	}
	f.Add(withOptions(1, 7, 7, 4, 0, 0, 0, 0))
	f.Add(with6(extensionHopByHop, slices.Concat(extension(extensionDestination), extension(extensionRouting, 0, 1), extension(6))))
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Packet
		if d := p.Parse(bytes.Clone(b), Offload{}); d != DropNone {
			answerAnything(&p)
			return
		}
		n := len(p.Header)
		if n+len(p.Payload) > len(b) || n < HeaderLen4 {
			t.Fatalf("header %d and payload %d of %d bytes", n, len(p.Payload), len(b))
		}
		if !bytes.Equal(p.Header, b[:n]) || !bytes.Equal(p.Payload, b[n:n+len(p.Payload)]) {
			t.Fatal("header and payload are not the packet's")
		}
		if p.Fragment.Offset%8 != 0 || n > HeaderLen6+maxExtensionBytes {
			t.Fatalf("%+v, header of %d bytes", p.Fragment, n)
		}
		p.Martian()
		p.TransportChecksumOK()
		answerAnything(&p)
	})
}

// answerAnything tries every answer; none may panic, whatever the packet.
func answerAnything(p *Packet) {
	dst := make([]byte, 0x10100)
	for k := range numICMPKinds {
		for _, f := range families {
			PutUnreachable(dst, k, f.ours, p, 1400)
		}
	}
	PutEchoReply(dst, p)
	var m ICMP
	m.Parse(p)
}

func BenchmarkParse(b *testing.B) {
	for _, f := range families {
		packet := f.build(ProtocolTCP, f.tcp(0x10, make([]byte, 1400)))
		b.Run(f.name, func(b *testing.B) {
			b.ReportAllocs()
			var p Packet
			for b.Loop() {
				p.Parse(packet, Offload{})
				p.Martian()
			}
		})
	}
	b.Run("IPv6/longest chain", func(b *testing.B) {
		most := bytes.Repeat(extension(extensionDestination, make([]byte, 30)...), 7)
		packet := with6(extensionDestination, append(most, extension(ProtocolTCP, make([]byte, 30)...)...))
		var p Packet
		for b.Loop() {
			p.Parse(packet, Offload{})
		}
	})
}
