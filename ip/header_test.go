package ip

import (
	"bytes"
	"encoding/binary"
	"testing"
)

func TestHeader_roundTrip(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		h := Header{
			Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, TOS: 0xb9, TTL: 3, ID: 0xabcd, DontFragment: true,
			FlowLabel: 0xfff12345,
		}
		payload := []byte("payload")
		p := mustParse(t, append(build(h, payload), "padding"...))
		if p.Src != f.ours || p.Dst != f.peer || p.Protocol != ProtocolTCP || p.TOS != 0xb9 || p.TTL != 3 {
			t.Errorf("parsed as %+v", p)
		}
		if !bytes.Equal(p.Payload, payload) || len(p.Header) != h.Len() || p.Fragment != (Fragment{}) {
			t.Errorf("header of %d bytes, payload %q, fragment %+v", len(p.Header), p.Payload, p.Fragment)
		}
		be := binary.BigEndian
		if sum := slowSum(p.Header, 0); f.ours.Is4() && sum != 0xffff {
			t.Errorf("header checksum: the sum is %#x, want 0xffff", sum)
		}
		if f.ours.Is4() {
			if id, flags := be.Uint16(p.Header[4:]), be.Uint16(p.Header[6:]); id != 0xabcd || flags != flagDontFragment {
				t.Errorf("ID %#x, flags and offset %#x", id, flags)
			}
		} else if label := be.Uint32(p.Header) & 0xfffff; label != 0x12345 {
			t.Errorf("flow label %#x; more than 20 bits must not leak into the traffic class", label)
		}
	})
}

func TestHeader_overwritesWhatWasThere(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		h := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, PayloadLen: 0}
		dirty := bytes.Repeat([]byte{0xff}, h.Len()+1)
		if n := h.Put(dirty); n != h.Len() {
			t.Fatalf("Put returns %d, Len %d", n, h.Len())
		}
		clean := make([]byte, h.Len())
		h.Put(clean)
		if !bytes.Equal(dirty[:h.Len()], clean) || dirty[h.Len()] != 0xff {
			t.Errorf("over ones: %x\nover zeros: %x", dirty, clean)
		}
		if p := mustParse(t, clean); p.TTL != 64 {
			t.Errorf("TTL %d when none is asked for, want 64", p.TTL)
		}
	})
}

func TestHeader_allocatesNothing(t *testing.T) {
	b := make([]byte, 1500)
	eachFamily(t, func(t *testing.T, f family) {
		h := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, PayloadLen: 100}
		var p Packet
		n := testing.AllocsPerRun(100, func() {
			h.Put(b)
			p.Parse(b, Offload{})
			p.Martian()
		})
		if n != 0 {
			t.Errorf("%v allocations to write and parse a header, want none", n)
		}
	})
}

func BenchmarkHeader_Put(b *testing.B) {
	buf := make([]byte, 40)
	for _, f := range families {
		h := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, PayloadLen: 100}
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				h.Put(buf)
			}
		})
	}
}
