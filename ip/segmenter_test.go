package ip

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

const allFlags = 0xff

// super returns a super-packet with the data in pieces, its checksum partial.
func (f family) super(size uint16, flags uint8, options []byte, data ...[]byte) *Outgoing {
	n := 0
	for _, b := range data {
		n += len(b)
	}
	transport := tcpHeader(flags, options...)
	h := Header{
		Src: f.ours, Dst: f.peer, Protocol: ProtocolTCP, TOS: 2, ID: 0xfffe, DontFragment: true,
		PayloadLen: len(transport) + n, FlowLabel: 77,
	}
	header := make([]byte, h.Len()+len(transport))
	h.Put(header)
	copy(header[h.Len():], transport)
	sum := PseudoSum(h.Src, h.Dst, h.Protocol, h.PayloadLen)
	binary.BigEndian.PutUint16(header[h.Len()+tcpChecksumAt:], sum)
	return &Outgoing{
		Header: header, Payload: data, NetworkLen: h.Len(), ChecksumOffset: tcpChecksumAt,
		Offload: Offload{Checksum: ChecksumPartial, SegmentSize: size},
	}
}

// flat copies an outgoing packet into one piece.
func flat(o *Outgoing) []byte {
	b := bytes.Clone(o.Header)
	for _, p := range o.Payload {
		b = append(b, p...)
	}
	return b
}

// split returns copies of the segments.
func split(t testing.TB, s *Segmenter, o *Outgoing) [][]byte {
	t.Helper()
	var all [][]byte
	err := s.Split(o, func(x *Outgoing) error {
		if x.Offload != (Offload{}) || x.NetworkLen != o.NetworkLen {
			t.Fatalf("segment with offload %+v, network header %d", x.Offload, x.NetworkLen)
		}
		all = append(all, flat(x))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantSegments proves that the segments are o, as the receiver sees it.
func wantSegments(t testing.TB, o *Outgoing, segments [][]byte) {
	t.Helper()
	be := binary.BigEndian
	transport := o.Header[o.NetworkLen:]
	seq, sent, size := be.Uint32(transport[4:]), 0, int(o.Offload.SegmentSize)
	data := flat(o)[len(o.Header):]
	if want := max(1, (len(data)+size-1)/size); len(segments) != want {
		t.Fatalf("%d segments of %d bytes, want %d", len(segments), len(data), want)
	}
	for i, b := range segments {
		p := mustParse(t, b)
		if !p.TransportChecksumOK() {
			t.Fatalf("segment %d: checksum wrong", i)
		}
		if len(p.Header)+len(p.Payload) != len(b) || len(p.Header) != o.NetworkLen {
			t.Fatalf("segment %d: lengths wrong", i)
		}
		last := i == len(segments)-1
		wantSegment(t, i, last, o, p)
		got := p.Payload[len(transport):]
		if be.Uint32(p.Payload[4:]) != seq+uint32(sent) || !bytes.HasPrefix(data[sent:], got) {
			t.Fatalf("segment %d: sequence number or data wrong", i)
		}
		if !last && len(got) != size {
			t.Fatalf("segment %d has %d bytes, want %d", i, len(got), size)
		}
		sent += len(got)
	}
	if sent != len(data) {
		t.Fatalf("%d of %d bytes arrived", sent, len(data))
	}
}

// wantSegment compares the headers of segment i with those of the super-packet.
func wantSegment(t testing.TB, i int, last bool, o *Outgoing, p *Packet) {
	t.Helper()
	be := binary.BigEndian
	transport := o.Header[o.NetworkLen:]
	flags := transport[tcpFlagsAt]
	if !last {
		flags &^= tcpFIN | tcpPSH
	}
	if i > 0 {
		flags &^= tcpCWR
	}
	if got := p.Payload[tcpFlagsAt]; got != flags {
		t.Fatalf("segment %d: flags %#x, want %#x", i, got, flags)
	}
	// Everything else is as it was: blank what differs.
	blank := func(network, transport []byte) []byte {
		b := append(bytes.Clone(network), transport...)
		n := len(network)
		if b[0]>>4 == 4 {
			clear(b[2:6])
			clear(b[10:12])
		} else {
			clear(b[4:6])
		}
		clear(b[n+4 : n+8])
		b[n+tcpFlagsAt] = 0
		clear(b[n+tcpChecksumAt : n+tcpChecksumAt+2])
		return b
	}
	got, want := blank(p.Header, p.Payload[:len(transport)]), blank(o.Header[:o.NetworkLen], transport)
	if !bytes.Equal(got, want) {
		t.Fatalf("segment %d: headers\n%x, want\n%x", i, got, want)
	}
	if p.version() == 4 {
		if id, want := be.Uint16(p.Header[4:]), be.Uint16(o.Header[4:])+uint16(i); id != want {
			t.Fatalf("segment %d: ID %d, want %d", i, id, want)
		}
	}
}

// pieces cuts b at random.
func pieces(r *rand.Rand, b []byte) [][]byte {
	var all [][]byte
	for len(b) > 0 {
		n := min(r.IntN(3000), len(b))
		all = append(all, b[:n])
		b = b[n:]
	}
	return all
}

func TestSegmenter_superPackets(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		r := seeded(t, 6)
		var s Segmenter
		options := bytes.Repeat([]byte{1}, 12)
		for _, size := range []uint16{1, 7, 536, 1220, 1448, 65000} {
			for _, n := range []int{0, 1, 6, 7, 8, 1447, 1448, 1449, 2896, 30001} {
				if n/int(size) > 5000 {
					continue
				}
				o := f.super(size, allFlags, options, pieces(r, randomBytes(r, n))...)
				before := bytes.Clone(o.Header)
				wantSegments(t, o, split(t, &s, o))
				if !bytes.Equal(o.Header, before) || o.Offload.SegmentSize != size {
					t.Fatal("the super-packet was changed")
				}
			}
		}
	})
}

func TestSegmenter_everySmallSize(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		var s Segmenter
		data := randomBytes(seeded(t, 7), 80)
		for n := range 81 {
			for size := 1; size <= 80; size++ {
				o := f.super(uint16(size), allFlags, nil, data[:n/3], nil, data[n/3:n])
				wantSegments(t, o, split(t, &s, o))
			}
		}
	})
}

func TestSegmenter_largest(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		var s Segmenter
		data := randomBytes(seeded(t, 8), 0xffff-HeaderLen4-20)
		o := f.super(1448, tcpPSH|0x10, nil, data[:30000], data[30000:])
		wantSegments(t, o, split(t, &s, o))
	})
}

// plain returns a super-packet as it would be, were its length no matter: without the jumbo payload option.
func plain(o *Outgoing) *Outgoing {
	p := *o
	if o.NetworkLen == MaxHeaderLen {
		p.Header = append(bytes.Clone(o.Header[:HeaderLen6]), o.Header[MaxHeaderLen:]...)
		p.Header[nextHeaderAt] = ProtocolTCP
		p.NetworkLen = HeaderLen6
	}
	return &p
}

func TestSegmenter_longerThanTheLengthField(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		r := seeded(t, 10)
		for _, n := range []int{65536, 100_000, 262_144} {
			o := f.super(1448, allFlags, bytes.Repeat([]byte{1}, 12), pieces(r, randomBytes(r, n))...)
			var all [][]byte
			err := new(Segmenter).Split(o, func(x *Outgoing) error {
				all = append(all, flat(x))
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			wantSegments(t, plain(o), all)
		}
	})
}

// TestSegmenter_cut: the segments of the parts are those of the whole.
func TestSegmenter_cut(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		r := seeded(t, 11)
		for range 300 {
			size, longest := uint16(1+r.IntN(9000)), 100+r.IntN(65436)
			o := f.super(size, uint8(r.IntN(256)), nil, pieces(r, randomBytes(r, r.IntN(200*int(size))%300_000))...)
			var parts, direct [][]byte
			err := new(Segmenter).Cut(o, longest, func(x *Outgoing) error {
				if x.Offload != o.Offload || x.ChecksumOffset != o.ChecksumOffset || x.Len() > max(longest, len(x.Header)+int(size)) {
					t.Fatalf("a part of %d bytes with %+v of one with %+v, of %d at most", x.Len(), x.Offload, o.Offload, longest)
				}
				parts = append(parts, split(t, new(Segmenter), x)...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			new(Segmenter).Split(o, func(x *Outgoing) error {
				direct = append(direct, flat(x))
				return nil
			})
			if !slices.EqualFunc(parts, direct, bytes.Equal) {
				t.Fatalf("size %d, cut at %d: the segments of the parts, %d, are not those of the whole, %d", size, longest, len(parts), len(direct))
			}
		}
		if err := new(Segmenter).Cut(f.super(0, 0, nil), 1000, nil); err != ErrNotSegmentable {
			t.Errorf("an ordinary packet: %v", err)
		}
	})
}

func TestSegmenter_ordinaryPackets(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		var s Segmenter
		data := randomBytes(seeded(t, 9), 1001)
		for n := range len(data) {
			o := f.super(0, allFlags, nil, data[:n/2], data[n/2:n])
			all := split(t, &s, o)
			if len(all) != 1 {
				t.Fatalf("%d packets out of one", len(all))
			}
			p := mustParse(t, all[0])
			if !p.TransportChecksumOK() || !bytes.Equal(p.Payload[20:], data[:n]) || p.Payload[tcpFlagsAt] != allFlags {
				t.Fatalf("%d bytes of data: wrong packet", n)
			}
			// What is complete goes out as it is.
			full := &Outgoing{Header: all[0], NetworkLen: o.NetworkLen}
			if again := split(t, &s, full); !bytes.Equal(again[0], all[0]) {
				t.Fatal("a complete packet was changed")
			}
		}
	})
}

func TestSegmenter_UDPWithoutZero(t *testing.T) {
	// A sum that comes out as zero is sent as ones (RFC 768), for zero says that there is no checksum.
	eachFamily(t, func(t *testing.T, f family) {
		var s Segmenter
		for v := range 0x10000 {
			udp := binary.BigEndian.AppendUint16([]byte{0, 53, 0, 53, 0, 10, 0, 0}, uint16(v))
			b := f.build(ProtocolUDP, udp)
			binary.BigEndian.PutUint16(b[f.header+6:], PseudoSum(f.peer, f.ours, ProtocolUDP, len(udp)))
			o := &Outgoing{Header: b, NetworkLen: f.header, ChecksumOffset: 6, Offload: Offload{Checksum: ChecksumPartial}}
			p := mustParse(t, split(t, &s, o)[0])
			if p.Payload[6] == 0 && p.Payload[7] == 0 || !p.TransportChecksumOK() {
				t.Fatalf("data %#x: checksum %x", v, p.Payload[6:8])
			}
		}
	})
}

func TestSegmenter_extensionHeaders(t *testing.T) {
	f := families[1]
	o := f.super(1000, allFlags, nil, make([]byte, 3500))
	option := extension(ProtocolTCP)
	o.Header = append(append(bytes.Clone(o.Header[:HeaderLen6]), option...), o.Header[HeaderLen6:]...)
	o.Header[nextHeaderAt] = extensionDestination
	o.NetworkLen += len(option)
	wantSegments(t, o, split(t, new(Segmenter), o))
}

func TestSegmenter_brokenExtensionHeaders(t *testing.T) {
	f := families[1]
	for _, chain := range [][]byte{
		{ProtocolTCP, 1, 0, 0, 0, 0, 0, 0},                        // longer than the network header
		append(extension(ProtocolTCP), extension(ProtocolTCP)...), // ends before it
	} {
		o := f.super(100, 0x10, nil, make([]byte, 1000))
		o.Header = append(append(bytes.Clone(o.Header[:HeaderLen6]), chain...), o.Header[HeaderLen6:]...)
		o.Header[nextHeaderAt] = extensionDestination
		o.NetworkLen += len(chain)
		err := new(Segmenter).Split(o, func(*Outgoing) error { return nil })
		if !errors.Is(err, ErrNotSegmentable) {
			t.Errorf("chain %x: %v", chain, err)
		}
	}
}

func TestSegmenter_refuses(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		for name, spoil := range map[string]func(*Outgoing){
			"UDP":                        func(o *Outgoing) { o.Header[map[int]int{20: 9, 40: 6}[o.NetworkLen]] = ProtocolUDP },
			"no header":                  func(o *Outgoing) { o.Header = nil },
			"no version":                 func(o *Outgoing) { o.Header[0] = 0 },
			"network header too long":    func(o *Outgoing) { o.NetworkLen += 4 },
			"network header too short":   func(o *Outgoing) { o.NetworkLen -= 4 },
			"network header beyond":      func(o *Outgoing) { o.NetworkLen = 1000 },
			"TCP header cut":             func(o *Outgoing) { o.Header = o.Header[:len(o.Header)-1] },
			"TCP header with data":       func(o *Outgoing) { o.Header = append(o.Header, 0, 0, 0, 0) },
			"TCP header length wrong":    func(o *Outgoing) { o.Header[o.NetworkLen+12] = 0xf0 },
			"checksum beyond the header": func(o *Outgoing) { o.Offload.SegmentSize, o.ChecksumOffset = 0, 19 },
			"checksum before the header": func(o *Outgoing) { o.Offload.SegmentSize, o.ChecksumOffset = 0, -1 },
		} {
			o := f.super(100, 0x10, nil, make([]byte, 1000))
			spoil(o)
			err := new(Segmenter).Split(o, func(*Outgoing) error { t.Errorf("%s: a packet was emitted", name); return nil })
			if !errors.Is(err, ErrNotSegmentable) {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func TestSegmenter_stopsAtAnError(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		stop, n := errors.New("stop"), 0
		err := new(Segmenter).Split(f.super(100, 0x10, nil, make([]byte, 1000)), func(*Outgoing) error {
			if n++; n == 3 {
				return stop
			}
			return nil
		})
		if err != stop || n != 3 {
			t.Errorf("%v after %d segments", err, n)
		}
	})
}

func TestSegmenter_allocatesNothing(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		data := make([]byte, 20000)
		for _, size := range []uint16{0, 1448} {
			o := f.super(size, allFlags, nil, data[:9999], data[9999:])
			s, bytes := new(Segmenter), 0
			emit := func(x *Outgoing) error { bytes += x.Len(); return nil }
			if n := testing.AllocsPerRun(100, func() { _ = s.Split(o, emit) }); n != 0 {
				t.Errorf("segment size %d: %v allocations, want none", size, n)
			}
		}
	})
}

func FuzzSegmenter(f *testing.F) {
	f.Add(true, uint16(1448), uint8(0xff), uint8(3), uint16(100), make([]byte, 3000))
	f.Add(false, uint16(1), uint8(0x11), uint8(0), uint16(1), []byte("odd"))
	f.Fuzz(func(t *testing.T, six bool, size uint16, flags, options uint8, at uint16, data []byte) {
		fam := families[0]
		if six {
			fam = families[1]
		}
		if size == 0 || len(data) > 60000 || len(data)/int(size) > 500 {
			return
		}
		cut := min(int(at), len(data))
		o := fam.super(size, flags, make([]byte, options%11*4), data[:cut], data[cut:])
		wantSegments(t, o, split(t, new(Segmenter), o))
		o.Offload.SegmentSize = 0
		if p := mustParse(t, split(t, new(Segmenter), o)[0]); !p.TransportChecksumOK() {
			t.Fatal("checksum of the packet in one piece is wrong")
		}
	})
}

func FuzzSegmenter_anyHeader(f *testing.F) {
	for _, fam := range families {
		o := fam.super(100, 0x18, nil)
		f.Add(o.Header, o.NetworkLen, 16, uint16(100), make([]byte, 300))
		f.Add(o.Header, o.NetworkLen, 16, uint16(0), make([]byte, 300))
	}
	f.Fuzz(func(t *testing.T, header []byte, network, at int, size uint16, data []byte) {
		if size > 0 && len(data)/int(size) > 500 {
			return
		}
		o := &Outgoing{
			Header: header, Payload: [][]byte{data}, NetworkLen: network, ChecksumOffset: at,
			Offload: Offload{Checksum: ChecksumPartial, SegmentSize: size},
		}
		sent := 0
		err := new(Segmenter).Split(o, func(x *Outgoing) error { sent += x.Len() - len(x.Header); return nil })
		if err == nil && sent != len(data) {
			t.Fatalf("%d of %d bytes were emitted", sent, len(data))
		}
	})
}

func BenchmarkSegmenter(b *testing.B) {
	data := make([]byte, 64000)
	for _, f := range families {
		o := f.super(1448, 0x18, nil, data)
		b.Run(fmt.Sprintf("%s/64000", f.name), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			var s Segmenter
			emit := func(*Outgoing) error { return nil }
			for b.Loop() {
				_ = s.Split(o, emit)
			}
		})
	}
}
