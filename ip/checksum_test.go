package ip

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
)

// slowSum is RFC 1071 to the letter, and the oracle of Sum.
func slowSum(b []byte, initial uint16) uint16 {
	sum := uint32(initial)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	if len(b)%2 != 0 {
		sum += uint32(b[len(b)-1]) << 8
	}
	if sum > 0xffff {
		sum -= 0xffff
	}
	return uint16(sum)
}

// slowPseudoSum sums the pseudo-header as it is drawn in the RFCs.
func slowPseudoSum(src, dst Addr, protocol uint8, length int) uint16 {
	var b []byte
	if dst.Is4() {
		b = append(append(b, src[12:]...), dst[12:]...)
		b = append(b, 0, protocol)
		b = binary.BigEndian.AppendUint16(b, uint16(length))
	} else {
		b = append(append(b, src[:]...), dst[:]...)
		b = binary.BigEndian.AppendUint32(b, uint32(length))
		b = append(b, 0, 0, 0, protocol)
	}
	return slowSum(b, 0)
}

// canonical maps the two zeros of one's complement to one.
func canonical(sum uint16) uint16 {
	if sum == 0xffff {
		return 0
	}
	return sum
}

func TestSum_likeTheSlowOne(t *testing.T) {
	r := seeded(t, 1)
	random := randomBytes(r, 700)
	ones := bytes.Repeat([]byte{0xff}, 700)
	zeros := make([]byte, 700)
	for name, data := range map[string][]byte{"random": random, "ones": ones, "zeros": zeros} {
		for n := 0; n <= 600; n++ {
			for start := range 9 {
				for _, initial := range []uint16{0, 1, 0x00ff, 0xff00, 0xfffe, 0xffff} {
					b := data[start : start+n]
					got, want := Sum(b, initial), slowSum(b, initial)
					if canonical(got) != canonical(want) {
						t.Fatalf("Sum of %d bytes of %s from byte %d and %#x is %#x, want %#x", n, name, start, initial, got, want)
					}
				}
			}
		}
	}
}

func TestSum_isZeroOnlyForZeros(t *testing.T) {
	// A receiver tests for 0xffff, so a sum that is "minus zero" must not come out as 0.
	b := make([]byte, 300)
	for i := range len(b) - 1 {
		clear(b)
		b[i], b[i+1] = 0xff, 0xff
		if got := Sum(b, 0); got != 0xffff {
			t.Fatalf("ones at %d: sum is %#x, want 0xffff", i, got)
		}
	}
	if got := Sum(make([]byte, 300), 0); got != 0 {
		t.Fatalf("sum of zeros is %#x, want 0", got)
	}
}

func TestSum_inPieces(t *testing.T) {
	b := randomBytes(seeded(t, 2), 512)
	for cut := 0; cut <= len(b); cut += 2 {
		if got, want := Sum(b[cut:], Sum(b[:cut], 0)), Sum(b, 0); got != want {
			t.Fatalf("cut at %d: %#x, want %#x", cut, got, want)
		}
	}
}

func TestSum_RFC1071Example(t *testing.T) {
	// RFC 1071, section 3.
	if got := Sum([]byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}, 0); got != 0xddf2 {
		t.Fatalf("sum is %#x, want 0xddf2", got)
	}
}

func TestSumHeader4_likeTheSlowOne(t *testing.T) {
	r := seeded(t, 10)
	for n := HeaderLen4; n <= 60; n += 4 {
		for i := range 1000 {
			b := randomBytes(r, n)
			if i == 0 {
				b = bytes.Repeat([]byte{0xff}, n)
			}
			if got, want := sumHeader4(b), slowSum(b, 0); canonical(got) != canonical(want) {
				t.Fatalf("header %x: %#x, want %#x", b, got, want)
			}
		}
	}
}

func TestPseudoSum_likeTheSlowOne(t *testing.T) {
	r := seeded(t, 3)
	eachFamily(t, func(t *testing.T, f family) {
		for range 2000 {
			src, dst := f.peer, f.ours
			random := randomBytes(r, 32)
			if r.IntN(4) == 0 {
				random = bytes.Repeat([]byte{0xff}, 32) // carries
			}
			if f.ours.Is4() {
				copy(src[12:], random[:4])
				copy(dst[12:], random[4:])
			} else {
				copy(src[:], random[:16])
				copy(dst[:], random[16:])
				dst[0] = 0xfd
			}
			protocol, length := uint8(r.Uint32()), int(uint16(r.Uint32()))
			got, want := PseudoSum(src, dst, protocol, length), slowPseudoSum(src, dst, protocol, length)
			if canonical(got) != canonical(want) {
				t.Fatalf("%v %v %d %d: %#x, want %#x", src, dst, protocol, length, got, want)
			}
		}
	})
}

func TestAttack_I03_checksumByOffload(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		good := f.build(ProtocolTCP, f.tcp(0x10, []byte("data")))
		bad := bytes.Clone(good)
		bad[len(bad)-1]++
		for _, c := range []struct {
			checksum Checksum
			b        []byte
			want     bool
			why      string
		}{
			{ChecksumFull, good, true, "complete and right"},
			{ChecksumFull, bad, false, "complete and wrong"},
			{ChecksumPartial, bad, true, "never was on a wire"},
			{ChecksumVouched, bad, true, "verified by the kernel"},
		} {
			var p Packet
			if d := p.Parse(c.b, Offload{Checksum: c.checksum}); d != DropNone {
				t.Fatal(d)
			}
			if got := p.TransportChecksumOK(); got != c.want {
				t.Errorf("checksum %d, %s: ok is %v", c.checksum, c.why, got)
			}
		}
	})
}

func TestTransportChecksumOK_everyProtocol(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		udp := []byte{0, 53, 0, 53, 0, 13, 0, 0, 'h', 'e', 'l', 'l', 'o'}
		for name, b := range map[string][]byte{
			"TCP":  f.build(ProtocolTCP, f.tcp(0x18, []byte("odd"))),
			"UDP":  f.build(ProtocolUDP, f.checksummed(ProtocolUDP, 6, udp)),
			"ICMP": f.build(f.icmp, f.icmpMessage(8, 0, 1, []byte("ping!"))),
		} {
			if !mustParse(t, b).TransportChecksumOK() {
				t.Errorf("%s: right checksum refused", name)
			}
			for i := f.header; i < len(b); i++ {
				broken := bytes.Clone(b)
				broken[i] ^= 0x10
				if mustParse(t, broken).TransportChecksumOK() {
					t.Errorf("%s: byte %d of the payload changed, and the checksum still passes", name, i-f.header)
				}
			}
		}
		if !mustParse(t, f.build(99, []byte{1, 2, 3})).TransportChecksumOK() {
			t.Error("a protocol without a known checksum must pass")
		}
		for _, protocol := range []uint8{ProtocolTCP, ProtocolUDP, f.icmp} {
			for n := range 8 {
				if mustParse(t, f.build(protocol, make([]byte, n))).TransportChecksumOK() {
					t.Errorf("protocol %d: %d bytes pass", protocol, n)
				}
			}
		}
	})
}

func TestTransportChecksumOK_UDPWithout(t *testing.T) {
	udp := []byte{0, 53, 0, 53, 0, 9, 0, 0, 'x'}
	for _, f := range families {
		got := mustParse(t, f.build(ProtocolUDP, udp)).TransportChecksumOK()
		if want := f.ours.Is4(); got != want {
			t.Errorf("%s: UDP with checksum 0 ok is %v, want %v", f.name, got, want)
		}
	}
}

func TestChecksum_allocatesNothing(t *testing.T) {
	p := mustParse(t, families[1].build(ProtocolTCP, families[1].tcp(0x10, make([]byte, 1400))))
	if n := testing.AllocsPerRun(100, func() { p.TransportChecksumOK() }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkSum(b *testing.B) {
	for _, n := range []int{20, 40, 60, 1460, 65536} {
		data := make([]byte, n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.SetBytes(int64(n))
			for b.Loop() {
				Sum(data, 0)
			}
		})
	}
	data := make([]byte, 1460)
	b.Run("slow/1460", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			slowSum(data, 0)
		}
	})
}

func BenchmarkPseudoSum(b *testing.B) {
	for _, f := range families {
		b.Run(f.name, func(b *testing.B) {
			for b.Loop() {
				PseudoSum(f.peer, f.ours, ProtocolTCP, 1460)
			}
		})
	}
}
