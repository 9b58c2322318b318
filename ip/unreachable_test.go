package ip

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

func TestPutUnreachable_messages(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		for k := range numICMPKinds {
			offending := f.build(ProtocolTCP, f.tcp(0x02, make([]byte, 30)))
			dst := make([]byte, MaxICMPError)
			n, ok := PutUnreachable(dst, k, f.ours, mustParse(t, offending), 1400)
			if want := k.isError() && k != ParameterProblem; ok != want {
				t.Errorf("%v: written is %v, want %v", k, ok, want)
			}
			if !ok {
				continue
			}
			// The offending packet's source reads it back. From its side, the packet is its own.
			p := mustParse(t, dst[:n])
			var m ICMP
			if d := m.Parse(p); d != DropNone || m.Kind != k {
				t.Errorf("%v: read back as %v, %v", k, m.Kind, d)
			}
			want := Embedded{ProtocolTCP, f.peer, f.ours, 40000, 7, 0xfffffff0}
			if m.Embedded != want || !bytes.Equal(m.Body, offending) || p.Src != f.ours {
				t.Errorf("%v: about %+v, want %+v", k, m.Embedded, want)
			}
			if f.ours.Is4() && dst[6] != flagDontFragment>>8 {
				t.Errorf("%v: without an ID it must not be fragmented", k)
			}
			if k == PacketTooBig && m.MTU != 1400 {
				t.Errorf("MTU %d, want 1400", m.MTU)
			}
		}
	})
}

func TestPutUnreachable_length(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		limit := map[bool]int{true: 576, false: 1280}[f.ours.Is4()]
		for data := 0; data < 2000; data += 3 {
			offending := f.build(ProtocolTCP, f.tcp(0x02, make([]byte, data)))
			dst := make([]byte, MaxICMPError)
			n, ok := PutUnreachable(dst, PortUnreachable, f.ours, mustParse(t, offending), 0)
			if want := min(limit, f.header+8+len(offending)); !ok || n != want {
				t.Fatalf("about %d bytes: %d bytes, %v; want %d", len(offending), n, ok, want)
			}
			if p := mustParse(t, dst[:n]); !p.TransportChecksumOK() || !bytes.Equal(p.Payload[8:], offending[:len(p.Payload)-8]) {
				t.Fatalf("about %d bytes: wrong contents", len(offending))
			}
			if n, ok := PutUnreachable(dst[:n-1], PortUnreachable, f.ours, mustParse(t, offending), 0); ok || n != 0 {
				t.Fatal("written to a buffer too short")
			}
		}
	})
}

func TestAttack_C05_neverAnswered(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		group := map[bool]Addr{true: addr("224.0.0.5"), false: addr("ff02::5")}[f.ours.Is4()]
		broadcast := map[bool]Addr{true: addr("255.255.255.255"), false: addr("ff02::1")}[f.ours.Is4()]
		nobody := map[bool]Addr{true: addr("0.0.0.0"), false: addr("::")}[f.ours.Is4()]
		loopback := map[bool]Addr{true: addr("127.0.0.1"), false: addr("::1")}[f.ours.Is4()]
		segment := f.tcp(0x02, make([]byte, 60))
		between := func(src, dst Addr) []byte { return build(Header{Src: src, Dst: dst, Protocol: ProtocolTCP}, segment) }
		unreachable := map[bool]uint8{true: 3, false: 1}[f.ours.Is4()]
		redirect := map[bool]uint8{true: 5, false: 137}[f.ours.Is4()]
		for _, c := range []struct {
			name string
			b    []byte
			want bool
		}{
			{"SYN", between(f.peer, f.ours), true},
			{"first fragment", cut(between(f.peer, f.ours), 1, 0, 40, true), true},
			{"later fragment", cut(between(f.peer, f.ours), 1, 40, 48, true), false},
			{"reset", f.build(ProtocolTCP, f.tcp(0x04, nil)), false},
			{"reset with ACK", f.build(ProtocolTCP, f.tcp(0x14, nil)), false},
			{"TCP without flags", f.build(ProtocolTCP, segment[:13]), false},
			{"UDP", f.build(ProtocolUDP, make([]byte, 8)), true},
			{"error", f.icmpError(unreachable, 1, 0, f.sent(0)), false},
			{"redirect", f.build(f.icmp, f.icmpMessage(redirect, 0, 0, nil)), false},
			{"unknown ICMP type", f.build(f.icmp, f.icmpMessage(44, 0, 0, nil)), false},
			{"echo request", f.ping(8), true},
			{"empty ICMP", f.build(f.icmp, nil), false},
			{"ICMP of the other family", f.build(ProtocolICMP+ProtocolICMPv6-f.icmp, make([]byte, 8)), false},
			{"to a group", between(f.peer, group), false},
			{"to everybody", between(f.peer, broadcast), false},
			{"from a group", between(group, f.ours), false},
			{"from nobody", between(nobody, f.ours), false},
			{"from loopback", between(loopback, f.ours), false},
			{"from us", between(f.ours, f.ours), false},
		} {
			n, ok := PutUnreachable(make([]byte, MaxICMPError), HostUnreachable, f.ours, mustParse(t, c.b), 0)
			if ok != c.want || ok != (n > 0) {
				t.Errorf("%s: answered is %v with %d bytes, want %v", c.name, ok, n, c.want)
			}
		}
	})
}

func TestAttack_C05_everyMessageType(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		for kind := range 256 {
			want := kind >= 128 && kind != 137
			if f.ours.Is4() {
				want = kind == 0 || kind >= 8 && kind <= 10 || kind >= 13 && kind <= 18
			}
			p := mustParse(t, f.build(f.icmp, f.icmpMessage(uint8(kind), 0, 0, nil)))
			if _, ok := PutUnreachable(make([]byte, MaxICMPError), AdminProhibited, f.ours, p, 0); ok != want {
				t.Errorf("ICMP type %d: answered is %v, want %v", kind, ok, want)
			}
		}
	})
}

func TestPutUnreachable_from(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		p := mustParse(t, f.build(ProtocolTCP, f.tcp(0x02, nil)))
		others := map[bool]string{true: "2001:db8::7", false: "192.0.2.7"}
		for _, from := range []Addr{{}, addr(others[f.ours.Is4()]), addr("224.0.0.1"), addr("ff02::1")} {
			if _, ok := PutUnreachable(make([]byte, MaxICMPError), PortUnreachable, from, p, 0); ok {
				t.Errorf("a message from %v was written", from)
			}
		}
	})
}

func TestPutUnreachable_aboutNothing(t *testing.T) {
	for _, f := range families {
		p := &Packet{Src: f.peer, Dst: f.ours, Protocol: ProtocolUDP}
		if _, ok := PutUnreachable(make([]byte, MaxICMPError), PortUnreachable, f.ours, p, 0); ok {
			t.Errorf("%s: a message about a packet that was not parsed", f.name)
		}
	}
}

// parameterProblem returns code and pointer of the answer to b.
func parameterProblem(b []byte, kind ICMPKind) (code uint8, pointer int, ok bool) {
	var p Packet
	p.Parse(b, Offload{})
	dst := make([]byte, MaxICMPError)
	n, ok := PutUnreachable(dst, kind, families[1].ours, &p, 0)
	if !ok {
		return 0, 0, false
	}
	m := dst[HeaderLen6:n]
	if m[0] != type6ParameterProblem || !bytes.Equal(m[8:], b) {
		return 0, 0, false
	}
	return m[1], int(binary.BigEndian.Uint32(m[4:])), true
}

func TestAttack_I06_parameterProblem(t *testing.T) {
	const hop, dst, routing, icmp = extensionHopByHop, extensionDestination, extensionRouting, ProtocolICMPv6
	f := families[1]
	syn, rst := f.tcp(0x02, nil), f.tcp(0x04, nil)
	source := extension(6, 0, 1)
	unreachable := f.icmpMessage(1, 0, 0, nil)
	for _, c := range []struct {
		name    string
		b       []byte
		ok      bool
		code    uint8
		pointer int
	}{
		{"source route", with6(routing, append(source, syn...)), true, 0, 42},
		{"source route, second", with6(dst, slices.Concat(extension(routing), source, syn)), true, 0, 50},
		{"source route and a reset", with6(routing, append(source, rst...)), false, 0, 0},
		{"source route and an error", with6(routing, append(extension(icmp, 0, 1), unreachable...)), false, 0, 0},
		{"source route and a ping", with6(routing, append(extension(icmp, 0, 1), f.icmpMessage(128, 0, 0, nil)...)), true, 0, 42},
		{"hop-by-hop second", with6(dst, slices.Concat(extension(hop), extension(6), syn)), true, 1, 40},
		{"option to tell", with6(dst, append(extension(6, 1, 0, 0x9e, 0), syn...)), true, 2, 44},
		{"option to discard silently", with6(dst, append(extension(6, 1, 0, 0x5e, 0), syn...)), false, 0, 0},
		{"truncated", with6(dst, []byte{6, 9, 0, 0, 0, 0, 0, 0}), false, 0, 0},
		{"source route, then truncated", with6(routing, append(extension(dst, 0, 1), 6, 9, 0, 0, 0, 0, 0, 0)), false, 0, 0},
		{"nothing wrong", with6(dst, append(extension(6), syn...)), false, 0, 0},
		{"nothing wrong at all", f.build(6, syn), false, 0, 0},
	} {
		code, pointer, ok := parameterProblem(c.b, ParameterProblem)
		if ok != c.ok || code != c.code || pointer != c.pointer {
			t.Errorf("%s: %v, code %d, pointer %d; want %v, %d, %d", c.name, ok, code, pointer, c.ok, c.code, c.pointer)
		}
	}
}

func TestPutUnreachable_unknownNextHeader(t *testing.T) {
	f := families[1]
	for _, c := range []struct {
		name    string
		b       []byte
		ok      bool
		pointer int
	}{
		{"at once", f.build(99, make([]byte, 8)), true, 6},
		{"behind options", with6(extensionHopByHop, extension(99)), true, 40},
		{"behind two", with6(extensionHopByHop, append(extension(60), extension(99)...)), true, 48},
		{"no next header", f.build(extensionNone, make([]byte, 8)), false, 0},
	} {
		code, pointer, ok := parameterProblem(c.b, ProtocolUnreachable)
		if ok != c.ok || pointer != c.pointer || ok && code != codeUnknownNext {
			t.Errorf("%s: %v, code %d, pointer %d; want %v, pointer %d", c.name, ok, code, pointer, c.ok, c.pointer)
		}
	}
}
