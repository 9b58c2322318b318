package ip

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// sent is a segment of ours that an error may be about.
func (f family) sent(data int) []byte {
	h := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, TTL: 9}
	return build(h, append(tcpHeader(0x10), make([]byte, data)...))
}

// icmpError returns an error message from a router on the way.
func (f family) icmpError(kind, code uint8, rest uint32, about []byte) []byte {
	router := f
	router.peer[15] = 99
	return router.build(f.icmp, router.icmpMessage(kind, code, rest, about))
}

func parseICMP(t testing.TB, b []byte) (ICMP, Drop) {
	t.Helper()
	var m ICMP
	d := m.Parse(mustParse(t, b))
	return m, d
}

func TestICMP_kinds(t *testing.T) {
	for _, c := range []struct {
		f          family
		kind, code uint8
		want       ICMPKind
	}{
		{families[0], 0, 0, EchoReply},
		{families[0], 8, 0, EchoRequest},
		{families[0], 3, 0, NetUnreachable},
		{families[0], 3, 1, HostUnreachable},
		{families[0], 3, 2, ProtocolUnreachable},
		{families[0], 3, 3, PortUnreachable},
		{families[0], 3, 4, PacketTooBig},
		{families[0], 3, 5, HostUnreachable},
		{families[0], 3, 13, AdminProhibited},
		{families[0], 3, 15, AdminProhibited},
		{families[0], 3, 16, Ignored},
		{families[0], 11, 0, TimeExceeded},
		{families[0], 12, 0, ParameterProblem},
		{families[0], 13, 0, Ignored},
		{families[1], 128, 0, EchoRequest},
		{families[1], 129, 0, EchoReply},
		{families[1], 1, 0, NetUnreachable},
		{families[1], 1, 1, AdminProhibited},
		{families[1], 1, 3, HostUnreachable},
		{families[1], 1, 4, PortUnreachable},
		{families[1], 1, 6, AdminProhibited},
		{families[1], 1, 7, Ignored},
		{families[1], 2, 0, PacketTooBig},
		{families[1], 3, 0, TimeExceeded},
		{families[1], 4, 0, ParameterProblem},
		{families[1], 4, 1, ProtocolUnreachable},
		{families[1], 100, 0, Ignored},
	} {
		m, d := parseICMP(t, c.f.icmpError(c.kind, c.code, 1400, c.f.sent(0)))
		if d != DropNone || m.Kind != c.want || m.Type != c.kind || m.Code != c.code {
			t.Errorf("%s type %d code %d: %v %v, want %v", c.f.name, c.kind, c.code, m.Kind, d, c.want)
		}
	}
}

func TestAttack_C03_ignored(t *testing.T) {
	for _, c := range []struct {
		f    family
		kind uint8
		what string
	}{
		{families[0], 4, "source quench"},
		{families[0], 5, "redirect"},
		{families[0], 9, "router advertisement"},
		{families[1], 134, "router advertisement"},
		{families[1], 136, "neighbour advertisement"},
		{families[1], 137, "redirect"},
	} {
		m, d := parseICMP(t, c.f.icmpError(c.kind, 0, 0, c.f.sent(0)))
		if d != DropNone || m.Kind != Ignored || m.Embedded != (Embedded{}) {
			t.Errorf("%s %s: %v %v %+v, want ignored", c.f.name, c.what, m.Kind, d, m.Embedded)
		}
	}
}

func TestICMP_echo(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		request := map[uint8]uint8{ProtocolICMP: 8, ProtocolICMPv6: 128}[f.icmp]
		m, d := parseICMP(t, f.build(f.icmp, f.icmpMessage(request, 0, 0x12345678, []byte("abc"))))
		if d != DropNone || m.Kind != EchoRequest || m.ID != 0x1234 || m.Seq != 0x5678 || string(m.Body) != "abc" {
			t.Errorf("%v %+v", d, m)
		}
	})
}

func (f family) tooBig(mtu uint32, about []byte) []byte {
	if f.ours.Is4() {
		return f.icmpError(3, 4, mtu, about)
	}
	return f.icmpError(2, 0, mtu, about)
}

func TestAttack_C01_embeddedPacket(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		want := Embedded{
			Protocol: ProtocolTCP, Src: f.ours, Dst: f.peer,
			SrcPort: 40000, DstPort: 7, Seq: 0xfffffff0,
		}
		about := f.sent(1000)
		for n := range len(about) {
			m, d := parseICMP(t, f.tooBig(1400, about[:n]))
			switch {
			case n < f.header+8 && d != DropICMPEmbeddedShort:
				t.Errorf("%d bytes of the packet, without sequence number: %v", n, d)
			case n >= f.header+8 && (d != DropNone || m.Embedded != want || m.MTU != 1400):
				t.Errorf("%d bytes of the packet: %v, MTU %d, %+v", n, d, m.MTU, m.Embedded)
			}
		}
	})
}

func TestAttack_C01_embeddedForgeries(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		be := binary.BigEndian
		for _, c := range []struct {
			name  string
			forge func(b []byte) []byte
			want  Drop
		}{
			{"from another host", func([]byte) []byte {
				h := Header{Src: f.peer, Dst: f.ours, Protocol: ProtocolTCP}
				return build(h, tcpHeader(0x10))
			}, DropICMPEmbeddedSource},
			{"other version", func(b []byte) []byte { b[0] ^= 0x20; return b }, DropICMPEmbeddedHeader},
			{"version 0", func(b []byte) []byte { b[0] &= 0xf; return b }, DropICMPEmbeddedHeader},
			{"later fragment", func(b []byte) []byte { return cut(b, 1, 8, 16, true) }, DropICMPEmbeddedFragment},
			{"length of the header only", func(b []byte) []byte {
				if f.ours.Is4() {
					be.PutUint16(b[2:], HeaderLen4)
				} else {
					be.PutUint16(b[4:], 0)
				}
				return b
			}, DropICMPEmbeddedShort},
			{"nothing", func([]byte) []byte { return nil }, DropICMPEmbeddedShort},
			{"UDP cut short", func(b []byte) []byte {
				h := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolUDP}
				return build(h, make([]byte, 7))
			}, DropICMPEmbeddedShort},
			{"another protocol", func(b []byte) []byte {
				return build(Header{Src: f.ours, Dst: f.peer, Protocol: 99}, nil)
			}, DropNone},
			{"first fragment", func(b []byte) []byte { return cut(b, 1, 0, 8, true) }, DropNone},
		} {
			if _, d := parseICMP(t, f.tooBig(1400, c.forge(f.sent(0)))); d != c.want {
				t.Errorf("%s: %v, want %v", c.name, d, c.want)
			}
		}
	})
}

func TestAttack_C01_embeddedLengths4(t *testing.T) {
	f := families[0]
	for ihl := range 16 {
		for total := range 81 {
			for there := range 81 {
				b := append(f.sent(0), make([]byte, 80)...)[:there]
				n := ihl * 4
				if there >= 4 {
					b[0] = 4<<4 | uint8(ihl)
					binary.BigEndian.PutUint16(b[2:], uint16(total))
				}
				want := DropNone
				switch {
				case there < HeaderLen4:
					want = DropICMPEmbeddedShort
				case n < HeaderLen4 || total < n:
					want = DropICMPEmbeddedHeader
				case there < n || min(total, there)-n < 8:
					want = DropICMPEmbeddedShort
				}
				if _, d := parseICMP(t, f.tooBig(1400, b)); d != want {
					t.Fatalf("IHL %d, total %d, %d bytes there: %v, want %v", ihl, total, there, d, want)
				}
			}
		}
	}
}

func TestAttack_C01_mappedAddressesEmbedded(t *testing.T) {
	// An ICMPv6 error must not speak about an IPv4 connection.
	f := families[1]
	four := families[0]
	about := f.sent(0)
	copy(about[8:], four.ours[:])
	copy(about[24:], four.peer[:])
	if _, d := parseICMP(t, f.tooBig(1280, about)); d != DropICMPEmbeddedHeader {
		t.Errorf("mapped addresses: %v", d)
	}
}

func TestAttack_C01_embeddedExtensionHeaders(t *testing.T) {
	f := families[1]
	about := func(payload []byte) []byte {
		return build(Header{Src: f.ours, Dst: f.peer, Protocol: extensionDestination}, payload)
	}
	whole := about(append(extension(ProtocolTCP), tcpHeader(0x10)...))
	for _, c := range []struct {
		name  string
		about []byte
		want  Drop
	}{
		{"destination options", whole, DropNone},
		{"cut in the options", about(extension(ProtocolTCP)[:7]), DropICMPEmbeddedHeader},
		{"a bad option", about(append(extension(ProtocolTCP, 0x9e, 0), tcpHeader(0x10)...)), DropICMPEmbeddedHeader},
		{"first fragment, TCP behind options", cut(whole, 1, 0, 24, true), DropICMPEmbeddedFragment},
	} {
		if m, d := parseICMP(t, f.tooBig(1400, c.about)); d != c.want {
			t.Errorf("%s: %v, want %v", c.name, d, c.want)
		} else if d == DropNone && m.Embedded.Seq != 0xfffffff0 {
			t.Errorf("%s: about %+v", c.name, m.Embedded)
		}
	}
}

func TestICMP_MTU(t *testing.T) {
	for _, c := range []struct {
		f    family
		rest uint32
		want int
	}{
		{families[0], 1400, 1400},
		{families[0], 0, 0},
		{families[0], 0xabcd0000 | 576, 576},
		{families[0], 0xffff, 0xffff},
		{families[1], 1400, 1400},
		{families[1], 0, 0},
		{families[1], 0xffffffff, 65575},
	} {
		if m, d := parseICMP(t, c.f.tooBig(c.rest, c.f.sent(0))); d != DropNone || m.MTU != c.want {
			t.Errorf("%s %#x: %v, MTU %d, want %d", c.f.name, c.rest, d, m.MTU, c.want)
		}
	}
}

func TestICMP_refuses(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		good := f.tooBig(1400, f.sent(0))
		for n := range 8 {
			b := f.build(f.icmp, good[f.header:f.header+n])
			if _, d := parseICMP(t, b); d != DropICMPShort {
				t.Errorf("%d bytes: %v", n, d)
			}
		}
		bad := bytes.Clone(good)
		bad[len(bad)-1] ^= 1
		if _, d := parseICMP(t, bad); d != DropICMPChecksum {
			t.Errorf("wrong checksum: %v", d)
		}
		if _, d := parseICMP(t, cut(good, 1, 0, 16, true)); d != DropICMPFragment {
			t.Errorf("fragment: %v", d)
		}
		other := ProtocolICMP + ProtocolICMPv6 - f.icmp
		if _, d := parseICMP(t, f.build(other, f.checksummed(other, 2, make([]byte, 20)))); d != DropICMPProtocol {
			t.Errorf("ICMP of the other family: %v", d)
		}
		if _, d := parseICMP(t, f.sent(0)); d != DropICMPProtocol {
			t.Errorf("TCP: %v", d)
		}
	})
}

func TestICMP_allocatesNothing(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		p, dst := mustParse(t, f.tooBig(1400, f.sent(0))), make([]byte, 1500)
		offending := mustParse(t, f.build(ProtocolTCP, f.tcp(0x02, nil)))
		var m ICMP
		n := testing.AllocsPerRun(100, func() {
			m.Parse(p)
			PutUnreachable(dst, PortUnreachable, f.ours, offending, 0)
		})
		if n != 0 {
			t.Errorf("%v allocations, want none", n)
		}
	})
}

func FuzzICMP(f *testing.F) {
	for i, fam := range families {
		for _, b := range [][]byte{
			fam.tooBig(1400, fam.sent(8)),
			fam.icmpError(3, 3, 0, fam.sent(0)),
			fam.icmpError(1, 4, 0, cut(fam.sent(64), 1, 0, 40, true)),
			fam.icmpError(8, 0, 0x10001, []byte("ping")),
			fam.icmpError(128, 0, 0x10001, []byte("ping")),
		} {
			f.Add(i == 1, b[fam.header:])
		}
	}
	f.Fuzz(func(t *testing.T, six bool, b []byte) {
		fam := families[0]
		if six {
			fam = families[1]
		}
		if len(b) < 8 || len(b) > 0xff00 {
			return
		}
		p := mustParse(t, fam.build(fam.icmp, fam.checksummed(fam.icmp, 2, b)))
		var m ICMP
		d := m.Parse(p)
		if d == DropNone && m.Kind.isError() && m.Embedded.Src != fam.ours {
			t.Fatalf("an error about a packet from %v reached %v", m.Embedded.Src, fam.ours)
		}
		if m.MTU < 0 || m.MTU > 0xffff+HeaderLen6 {
			t.Fatalf("MTU %d", m.MTU)
		}
		checkAnswers(t, p, m.Kind, d)
	})
}

// checkAnswers proves that what is sent about the message p is a valid packet back to its source, and that nothing is sent
// about an error.
func checkAnswers(t *testing.T, p *Packet, kind ICMPKind, d Drop) {
	dst := make([]byte, 0x10100)
	if n, ok := PutEchoReply(dst, p); ok {
		checkAnswer(t, dst[:n], p)
		if n > len(p.Header)+len(p.Payload) {
			t.Fatalf("%d bytes answer %d", n, len(p.Header)+len(p.Payload))
		}
	} else if d == DropNone && kind == EchoRequest {
		t.Fatal("an echo request was not answered")
	}
	n, ok := PutUnreachable(dst, HostUnreachable, p.Dst, p, 0)
	if ok {
		checkAnswer(t, dst[:n], p)
		if kind.isError() {
			t.Fatalf("%v answers the error %v", HostUnreachable, kind)
		}
	}
}

func checkAnswer(t *testing.T, b []byte, to *Packet) {
	t.Helper()
	p := mustParse(t, b)
	if p.Src != to.Dst || p.Dst != to.Src || len(p.Header)+len(p.Payload) != len(b) || !p.TransportChecksumOK() {
		t.Fatalf("a wrong answer: %+v", p)
	}
}
