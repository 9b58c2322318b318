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

func TestHeader_longerThanTheLengthField(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		longest := maxLength
		if f.ours.Is4() {
			longest -= HeaderLen4
		}
		short := Header{Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, PayloadLen: longest}
		if short.Len() != f.header || short.Put(make([]byte, MaxHeaderLen)) != f.header {
			t.Errorf("%d bytes: a header of %d bytes, want %d", longest, short.Len(), f.header)
		}
		h := short
		h.PayloadLen++
		b := bytes.Repeat([]byte{0xff}, MaxHeaderLen+1)
		if n := h.Put(b); n != h.Len() || b[n] != 0xff {
			t.Fatalf("Put returns %d, Len %d", n, h.Len())
		}
		if f.ours.Is4() {
			if b[2] != 0 || b[3] != 0 || slowSum(b[:HeaderLen4], 0) != 0xffff {
				t.Errorf("%x: want length 0 and a checksum that is right", b)
			}
			return
		}
		// Next header 0, hop limit 64; then TCP follows, one unit of 8 bytes, option 0xc2 of 4 bytes, 65,536 + 8.
		if got, want := b[4:8], []byte{0, 0, 0, 64}; !bytes.Equal(got, want) {
			t.Errorf("length, next header and hop limit %x, want %x", got, want)
		}
		if got, want := b[HeaderLen6:MaxHeaderLen], []byte{6, 0, 0xc2, 4, 0, 1, 0, 8}; !bytes.Equal(got, want) {
			t.Errorf("hop-by-hop header %x, want %x", got, want)
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
