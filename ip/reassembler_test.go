package ip

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

const (
	testLimit = 4 << 20
	second    = 1_000_000_000 // ns
)

// give adds a fragment and checks the books.
func give(t testing.TB, r *Reassembler, now int64, b []byte) ([]byte, Drop) {
	t.Helper()
	datagram, d := r.Add(now, mustParse(t, b))
	if d != DropNone && datagram != nil {
		t.Fatalf("a datagram and the reason %v", d)
	}
	checkBooks(t, r)
	return datagram, d
}

// checkBooks compares what a Reassembler has counted with what it holds.
func checkBooks(t testing.TB, r *Reassembler) {
	t.Helper()
	waiting, cost, inAge := 0, 0, 0
	for _, g := range r.datagrams {
		waiting += len(g.pieces)
		cost += g.cost
	}
	for g := r.age.oldest; g != nil; g = g.links[linkAge].newer {
		inAge++
	}
	bySource, inSources := 0, 0
	for a, s := range r.sources {
		bySource += s.bytes
		if s.bytes > r.share || s.age.oldest == nil {
			t.Fatalf("source %v holds %d of %d bytes", a, s.bytes, r.share)
		}
		for g := s.age.oldest; g != nil; g = g.links[linkSource].newer {
			inSources++
		}
	}
	c := r.Counters()
	lost := uint64(0)
	for _, n := range c.Lost {
		lost += n
	}
	if c.Taken != c.Joined+lost+uint64(waiting) || c.Lost[DropNone] != 0 {
		t.Fatalf("fragments: %d taken, %d joined, %d lost, %d waiting", c.Taken, c.Joined, lost, waiting)
	}
	if cost != r.Bytes() || bySource != r.Bytes() || r.Bytes() > r.max {
		t.Fatalf("%d bytes held, datagrams %d, sources %d, limit %d", r.Bytes(), cost, bySource, r.max)
	}
	if n := len(r.datagrams); inAge != n || inSources != n {
		t.Fatalf("%d datagrams, %d by age, %d by source", n, inAge, inSources)
	}
}

// wantDatagram gives all fragments and expects the datagram b from the last.
func wantDatagram(t *testing.T, r *Reassembler, b []byte, fragments ...[]byte) {
	t.Helper()
	for i, x := range fragments {
		got, d := give(t, r, 0, x)
		if d != DropNone {
			t.Fatalf("fragment %d of %d: %v", i+1, len(fragments), d)
		}
		if last := i == len(fragments)-1; (got != nil) != last {
			t.Fatalf("after fragment %d of %d: complete is %v", i+1, len(fragments), got != nil)
		} else if last {
			wantSame(t, got, b)
		}
	}
	if r.Bytes() != 0 {
		t.Fatalf("%d bytes held after the only datagram is complete", r.Bytes())
	}
}

// wantSame compares a reassembled datagram with what was cut up.
func wantSame(t testing.TB, got, want []byte) {
	t.Helper()
	p, q := mustParse(t, got), mustParse(t, want)
	if len(got) != len(p.Header)+len(p.Payload) {
		t.Fatalf("%d bytes, but the header says %d", len(got), len(p.Header)+len(p.Payload))
	}
	if p.Fragment.IsFragment() || p.Src != q.Src || p.Dst != q.Dst || p.Protocol != q.Protocol || p.TTL != q.TTL || p.TOS != q.TOS {
		t.Fatalf("datagram %+v, want %+v", p, q)
	}
	if !bytes.Equal(p.Payload, q.Payload) {
		t.Fatalf("payload differs:\n%x\n%x", p.Payload, q.Payload)
	}
}

// someDatagram is TCP with n bytes of payload, TCP header included, and its checksum right.
func (f family) someDatagram(n int) []byte {
	data := make([]byte, n-20)
	for i := range data {
		data[i] = byte(i*7 + i>>8)
	}
	return f.build(ProtocolTCP, f.tcp(0x18, data))
}

func TestReassembler_everyOrder(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(24*4 + 5)
		fragments := f.shred(b, 1, 24)
		permute(len(fragments), func(order []int) {
			r := NewReassembler(testLimit)
			var shuffled [][]byte
			for _, i := range order {
				shuffled = append(shuffled, fragments[i])
			}
			wantDatagram(t, r, b, shuffled...)
			if p := mustParse(t, r.out); !p.TransportChecksumOK() {
				t.Fatal("checksum of the whole is wrong")
			}
		})
	})
}

func permute(n int, visit func([]int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var swap func(int)
	swap = func(k int) {
		if k == n {
			visit(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			swap(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	swap(0)
}

func TestReassembler_largest(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		n := 0xffff
		if f.ours.Is4() {
			n -= HeaderLen4
		}
		b := f.someDatagram(n)
		wantDatagram(t, NewReassembler(testLimit), b, f.shred(b, 5, 1232)...)
	})
}

func TestReassembler_keepsDatagramsApart(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		other := f
		other.peer[15]++
		r := NewReassembler(testLimit)
		a, b, c := f.someDatagram(80), f.someDatagram(88), other.someDatagram(96)
		u := f.build(ProtocolUDP, bytes.Repeat([]byte{9}, 80))
		fa, fb, fc, fu := f.shred(a, 1, 40), f.shred(b, 2, 40), other.shred(c, 1, 40), f.shred(u, 1, 40)
		if !f.ours.Is4() {
			fu = f.shred(u, 3, 40) // in IPv6 the protocol does not tell datagrams apart
		}
		for _, x := range [][]byte{fa[0], fb[0], fc[0], fu[0], fc[1], fb[1]} {
			if got, d := give(t, r, 0, x); got != nil || d != DropNone {
				t.Fatalf("complete %v, %v", got != nil, d)
			}
		}
		for i, last := range []struct{ whole, fragment []byte }{{a, fa[1]}, {b, fb[2]}, {c, fc[2]}, {u, fu[1]}} {
			got, d := give(t, r, 0, last.fragment)
			if got == nil {
				t.Fatalf("datagram %d: %v", i, d)
			}
			wantSame(t, got, last.whole)
		}
	})
}

func TestReassembler_headers4(t *testing.T) {
	b := withOptions(1, 7, 7, 4, 0, 0, 0, 0)
	p := mustParse(t, b)
	b = append(b[:len(p.Header)], families[0].tcp(0x18, make([]byte, 60))...)
	b[2], b[3] = 0, uint8(len(b))
	putHeaderChecksum(b[:len(p.Header)])
	n := len(b) - len(p.Header)
	r := NewReassembler(testLimit)
	wantDatagram(t, r, b, cut(b, 1, 0, 40, true), cut(b, 1, 40, n, false))
	if len(mustParse(t, r.out).Header) != len(p.Header) {
		t.Error("the options of the first fragment are lost")
	}
}

func TestReassembler_extensionHeaders6(t *testing.T) {
	// Hop-by-hop and routing headers in front of the fragment header, destination options behind it.
	f := families[1]
	segment := f.tcp(0x18, make([]byte, 100))
	behind := append(extension(ProtocolTCP), segment...)
	front := slices.Concat(extension(extensionRouting), extension(extensionDestination, 0, 0))
	whole := with6(extensionHopByHop, slices.Concat(front, behind))
	part := func(field uint16, data []byte) []byte {
		h := slices.Concat(extension(extensionRouting), extension(extensionFragment, 0, 0))
		h = append(h, extensionDestination, 0, uint8(field>>8), uint8(field), 0, 0, 0, 9)
		return with6(extensionHopByHop, append(h, data...))
	}
	r := NewReassembler(testLimit)
	wantDatagram(t, r, whole, part(48, behind[48:]), part(0|1, behind[:48]))
	if !bytes.Equal(r.out, whole) {
		t.Errorf("reassembled\n%x, want\n%x", r.out, whole)
	}
}

// setOffset moves a last fragment.
func TestReassembler_badFragments(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.build(ProtocolUDP, make([]byte, 100))
		r := NewReassembler(testLimit)
		for _, c := range []struct {
			from, to int
			more     bool
			want     Drop
		}{
			{0, 0, true, DropFragmentEmpty},
			{16, 16, false, DropFragmentEmpty},
			{8, 17, true, DropFragmentLength},
			{8, 17, false, DropNone},
		} {
			if _, d := give(t, r, 0, cut(b, 1, c.from, c.to, c.more)); d != c.want {
				t.Errorf("%d-%d: %v, want %v", c.from, c.to, d, c.want)
			}
		}
	})
}

func TestReassembler_passesWholeDatagrams(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(100)
		got, d := NewReassembler(testLimit).Add(0, mustParse(t, b))
		if d != DropNone || !bytes.Equal(got, b) {
			t.Errorf("%v, %x", d, got)
		}
	})
}

func TestReassembler_congestionMarks(t *testing.T) {
	const notECT, ect1, ect0, ce = 0, 1, 2, 3
	eachFamily(t, func(t *testing.T, f family) {
		for _, c := range []struct {
			first, second, want uint8
			drop                Drop
		}{
			{notECT, notECT, notECT, DropNone},
			{ect0, ect0, ect0, DropNone},
			{ect1, ce, ce, DropNone},
			{ce, ect0, ce, DropNone},
			{ce, ce, ce, DropNone},
			{notECT, ce, 0, DropFragmentECN},
			{ce, notECT, 0, DropFragmentECN},
		} {
			r := NewReassembler(testLimit)
			part := func(ecn uint8, from, to int) []byte {
				h := Header{Src: f.peer, Dst: f.ours, Protocol: ProtocolUDP, TOS: 0xb8 | ecn}
				return cut(build(h, make([]byte, 80)), 1, from, to, to < 80)
			}
			give(t, r, 0, part(c.first, 0, 40))
			got, d := give(t, r, 0, part(c.second, 40, 80))
			if d != c.drop {
				t.Errorf("ECN %d and %d: %v, want %v", c.first, c.second, d, c.drop)
			} else if d == DropNone && mustParse(t, got).TOS != 0xb8|c.want {
				t.Errorf("ECN %d and %d: TOS %#x, want %#x", c.first, c.second, mustParse(t, got).TOS, 0xb8|c.want)
			}
		}
	})
}

// source returns the i-th of 65,536 sources, each with an allowance of its own.
func TestReassembler_smallLimits(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(3000)
		for limit := 0; limit < 40000; limit += 64 {
			r := NewReassembler(limit)
			for _, x := range f.shred(b, 1, 1000) {
				if got, d := give(t, r, 0, x); got != nil && d != DropNone {
					t.Fatal(d)
				}
			}
		}
	})
}

func BenchmarkReassembler(b *testing.B) {
	for _, f := range families {
		var parts []*Packet
		for _, x := range f.shred(f.someDatagram(8000), 1, 1400) {
			parts = append(parts, mustParse(b, x))
		}
		b.Run(fmt.Sprintf("%s/join", f.name), func(b *testing.B) {
			r := NewReassembler(testLimit)
			b.SetBytes(8000)
			for b.Loop() {
				for _, p := range parts {
					r.Add(0, p)
				}
			}
		})
		b.Run(fmt.Sprintf("%s/flood", f.name), func(b *testing.B) {
			r := NewReassembler(testLimit)
			p := *parts[0]
			for b.Loop() {
				p.Fragment.ID++
				r.Add(0, &p)
			}
		})
	}
}
