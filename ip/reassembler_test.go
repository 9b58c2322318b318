package ip

import (
	"bytes"
	"fmt"
	"runtime"
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

func TestAttack_I07_everyOverlap(t *testing.T) {
	// All pairs of ranges of a datagram of 64 bytes, in units of 8, each with and without being the last fragment; the
	// contents differ, and then are the same.
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(64 + 8)
		altered := bytes.Clone(b)
		for i := f.header + 20; i < len(altered); i++ {
			altered[i] ^= 0xff
		}
		each := func(visit func(from, to int, more bool)) {
			for from := 24; from < 64; from += 8 {
				for to := from + 8; to <= 64; to += 8 {
					visit(from, to, true)
					visit(from, to, false)
				}
			}
		}
		each(func(from1, to1 int, more1 bool) {
			each(func(from2, to2 int, more2 bool) {
				for _, second := range [][]byte{altered, b} {
					r := NewReassembler(testLimit)
					if _, d := give(t, r, 0, cut(b, 1, from1, to1, more1)); d != DropNone {
						t.Fatal(d)
					}
					want := DropNone
					switch {
					case from1 == from2 && to1 == to2 && more1 == more2 && &second[0] == &b[0]:
						want = DropFragmentDuplicate
					case from1 < to2 && from2 < to1, !more1 && (to2 > to1 || !more2), !more2 && to1 > to2:
						want = DropFragmentOverlap
					}
					if _, d := give(t, r, 0, cut(second, 1, from2, to2, more2)); d != want {
						t.Fatalf("%d-%d more=%v, then %d-%d more=%v: %v, want %v", from1, to1, more1, from2, to2, more2, d, want)
					}
				}
			})
		})
	})
}

func TestAttack_I07_overlapEndsTheDatagram(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(96)
		evil := bytes.Clone(b)
		evil[len(evil)-1]++
		r := NewReassembler(testLimit)
		give(t, r, 0, cut(b, 1, 0, 48, true))
		give(t, r, 0, cut(b, 1, 56, 96, false))
		if _, d := give(t, r, 0, cut(evil, 1, 40, 96, false)); d != DropFragmentOverlap {
			t.Fatalf("overlap: %v", d)
		}
		// "... including those not yet received" (RFC 5722): not even a complete set helps now.
		for _, x := range f.shred(b, 1, 48) {
			if got, d := give(t, r, second, x); got != nil || d != DropFragmentOverlap {
				t.Fatalf("after the overlap: complete %v, %v", got != nil, d)
			}
		}
		if c := r.Counters(); c.Lost[DropFragmentOverlap] != 2 {
			t.Errorf("%d fragments counted as lost by overlap, want the 2 that had been taken in", c.Lost[DropFragmentOverlap])
		}
		// Its time over, the ID is free again.
		if n := r.Expire(30 * second); n != 1 {
			t.Errorf("%d datagrams expired, want 1", n)
		}
		wantDatagram(t, r, b, f.shred(b, 1, 48)...)
	})
}

func TestAttack_I07_exactDuplicates(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(100)
		fragments := f.shred(b, 1, 40)
		r := NewReassembler(testLimit)
		for _, i := range []int{2, 0} {
			if _, d := give(t, r, 0, fragments[i]); d != DropNone {
				t.Fatal(d)
			}
			for range 3 {
				if _, d := give(t, r, 0, fragments[i]); d != DropFragmentDuplicate {
					t.Fatalf("duplicate of fragment %d: %v", i, d)
				}
			}
		}
		got, d := give(t, r, 0, fragments[1])
		if d != DropNone || got == nil {
			t.Fatalf("the last fragment: %v", d)
		}
		wantSame(t, got, b)
	})
}

func TestAttack_I08_tinyFragments(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		long := f.build(ProtocolTCP, append(tcpHeader(0x02, bytes.Repeat([]byte{1}, 40)...), make([]byte, 100)...))
		short := f.someDatagram(100)
		udp := f.build(ProtocolUDP, make([]byte, 100))
		for _, c := range []struct {
			name     string
			b        []byte
			from, to int
			want     Drop
		}{
			{"ports only", short, 0, 8, DropFragmentTiny},
			{"no flags", short, 0, 16, DropFragmentTiny},
			{"whole header", short, 0, 24, DropNone},
			{"header without options", long, 0, 24, DropFragmentTiny},
			{"most options", long, 0, 56, DropFragmentTiny},
			{"all options", long, 0, 64, DropNone},
			{"offset 1: the flags", short, 8, 48, DropFragmentTiny},
			{"offset 2: the checksum", short, 16, 48, DropFragmentTiny},
			{"offset 3", short, 24, 48, DropNone},
			{"UDP header", udp, 0, 8, DropNone},
			{"UDP offset 1", udp, 8, 16, DropNone},
		} {
			if _, d := give(t, NewReassembler(testLimit), 0, cut(c.b, 1, c.from, c.to, true)); d != c.want {
				t.Errorf("%s: %v, want %v", c.name, d, c.want)
			}
		}
	})
}

func TestAttack_I08_headerChainInFirstFragment(t *testing.T) {
	// RFC 7112: all of the chain, and the TCP header, are in the first fragment.
	segment := families[1].tcp(0x18, make([]byte, 100))
	for _, c := range []struct {
		name   string
		first  uint8
		behind []byte
		to     int
		want   Drop
	}{
		{"options and TCP header", 60, append(extension(6), segment...), 32, DropNone},
		{"options only", 60, append(extension(6), segment...), 8, DropFragmentTiny},
		{"half the TCP header", 60, append(extension(6), segment...), 24, DropFragmentTiny},
		{"half the options", 60, append(extension(6, make([]byte, 14)...), segment...), 8, DropFragmentTiny},
		{"a fragment header in the fragment", 44, append([]byte{6, 0, 0, 1, 0, 0, 0, 7}, segment...), 64, DropIPv6ExtensionOrder},
		{"hop-by-hop in the fragment", 0, append(extension(6), segment...), 64, DropIPv6ExtensionOrder},
		{"source route in the fragment", 43, append(extension(6, 0, 1), segment...), 64, DropIPv6Routing},
	} {
		if _, d := give(t, NewReassembler(testLimit), 0, cut(with6(c.first, c.behind), 1, 0, c.to, true)); d != c.want {
			t.Errorf("%s: %v, want %v", c.name, d, c.want)
		}
	}
}

func TestAttack_I09_pingOfDeath(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		room := 0xffff
		if f.ours.Is4() {
			room -= HeaderLen4
		}
		for from := 65000; from <= 0xfff8; from += 8 {
			for _, n := range []int{1, 7, 8, 600, 1400} {
				b := f.build(f.icmp, make([]byte, 8+n))
				fragment := cut(b, 1, 8, 8+n, false)
				setOffset(fragment, from)
				want := DropNone
				if from+n > room {
					want = DropFragmentTooLong
				}
				if _, d := give(t, NewReassembler(testLimit), 0, fragment); d != want {
					t.Fatalf("%d bytes at %d: %v, want %v", n, from, d, want)
				}
			}
		}
	})
}

// setOffset moves a last fragment.
func setOffset(b []byte, offset int) {
	if b[0]>>4 == 4 {
		b[6], b[7] = uint8(offset/8>>8), uint8(offset/8)
		putHeaderChecksum(b[:HeaderLen4])
		return
	}
	b[HeaderLen6+2], b[HeaderLen6+3] = uint8(offset>>8), uint8(offset)
}

func TestAttack_I09_longHeaderOfTheFirst(t *testing.T) {
	// Each fragment fits, but not with the header of the first.
	b := withOptions(1, bytes.Repeat([]byte{1}, 40)...)
	b = append(b[:60], make([]byte, 64)...)
	b[2], b[3], b[9] = 0, uint8(len(b)), ProtocolUDP
	putHeaderChecksum(b[:60])
	r := NewReassembler(testLimit)
	give(t, r, 0, cut(b, 1, 0, 64, true))
	last := families[0].build(ProtocolUDP, make([]byte, 0xffff-HeaderLen4))
	for from := 64; from < 0xffff-HeaderLen4; from += 1400 {
		to := min(from+1400, 0xffff-HeaderLen4)
		got, d := give(t, r, 0, cut(last, 1, from, to, to < 0xffff-HeaderLen4))
		if want := to == 0xffff-HeaderLen4; got != nil || (d == DropFragmentTooLong) != want {
			t.Fatalf("fragment at %d: complete %v, %v", from, got != nil, d)
		}
	}
	if r.Bytes() != 0 {
		t.Errorf("%d bytes still held", r.Bytes())
	}
}

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

func TestAttack_I10_fragmentCount(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.build(ProtocolUDP, make([]byte, 8*(maxFragments+1)))
		fragments := f.shred(b, 1, 8)
		r := NewReassembler(testLimit)
		for i, x := range fragments[:maxFragments] {
			if _, d := give(t, r, 0, x); d != DropNone {
				t.Fatalf("fragment %d: %v", i, d)
			}
		}
		if got, d := give(t, r, 0, fragments[maxFragments]); got != nil || d != DropFragmentCount {
			t.Errorf("fragment %d: complete %v, %v", maxFragments, got != nil, d)
		}
		if c := r.Counters(); c.Lost[DropFragmentCount] != maxFragments {
			t.Errorf("%d fragments lost by count, want %d", c.Lost[DropFragmentCount], maxFragments)
		}
		b = f.build(ProtocolUDP, make([]byte, 8*maxFragments))
		wantDatagram(t, NewReassembler(testLimit), b, f.shred(b, 1, 8)...)
	})
}

func TestAttack_I10_timeout(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		b := f.someDatagram(80)
		fragments := f.shred(b, 1, 40)
		r := NewReassembler(testLimit)
		give(t, r, 5*second, fragments[0])
		if n := r.Expire(35*second - 1); n != 0 || r.Bytes() == 0 {
			t.Errorf("%d datagrams expired just before 30 s", n)
		}
		if n := r.Expire(35 * second); n != 1 || r.Bytes() != 0 {
			t.Errorf("%d datagrams expired at 30 s, %d bytes left", n, r.Bytes())
		}
		checkBooks(t, r)
		if c := r.Counters(); c.Lost[DropFragmentTimeout] != 1 {
			t.Errorf("%d fragments lost by time, want 1", c.Lost[DropFragmentTimeout])
		}
		// Nor does a late fragment meet an old one when nobody called Expire.
		give(t, r, 40*second, fragments[0])
		if got, _ := give(t, r, 70*second, fragments[1]); got != nil {
			t.Error("fragments 30 s apart were joined")
		}
	})
}

func TestAttack_I10_shareOfOneSource(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		r := NewReassembler(testLimit)
		quiet := f
		quiet.peer[4]++ // another /64
		quiet.peer[12]++
		b := quiet.someDatagram(2000)
		mine := quiet.shred(b, 1, 1000)
		give(t, r, 0, mine[0])
		flood := f.someDatagram(1400)
		for id := range uint32(5000) {
			p := mustParse(t, cut(flood, id, 0, 1000, true))
			p.Src[15] = byte(id) // an IPv6 host has many addresses
			if f.ours.Is4() {
				p.Src = f.peer
			}
			if _, d := r.Add(0, p); d != DropNone {
				t.Fatalf("datagram %d: %v", id, d)
			}
		}
		checkBooks(t, r)
		if r.Bytes() > testLimit/8+2000 {
			t.Errorf("one source holds %d bytes, more than an eighth of %d", r.Bytes(), testLimit)
		}
		if got, d := give(t, r, 0, mine[1]); got == nil {
			t.Errorf("the quiet source's datagram is gone: %v", d)
		}
		if c := r.Counters(); c.Lost[DropFragmentEvicted] < 4000 {
			t.Errorf("%d fragments evicted", c.Lost[DropFragmentEvicted])
		}
	})
}

func TestAttack_I10_oldestFirst(t *testing.T) {
	eachFamily(t, func(t *testing.T, f family) {
		const n = 10000
		r := NewReassembler(testLimit)
		x := cut(f.someDatagram(1400), 1, 0, 1000, true)
		for i := range n {
			p := mustParse(t, x)
			p.Src = f.source(i)
			if _, d := r.Add(0, p); d != DropNone {
				t.Fatalf("datagram %d: %v", i, d)
			}
		}
		checkBooks(t, r)
		if r.Bytes() < testLimit*9/10 {
			t.Errorf("only %d of %d bytes are used", r.Bytes(), testLimit)
		}
		held := len(r.datagrams)
		if oldest, newest := r.age.oldest.key.src, r.age.newest.key.src; oldest != f.source(n-held) || newest != f.source(n-1) {
			t.Errorf("from %v to %v, want the last %d of %d", oldest, newest, held, n)
		}
	})
}

// source returns the i-th of 65,536 sources, each with an allowance of its own.
func (f family) source(i int) Addr {
	a := f.peer
	if f.ours.Is4() {
		a[13], a[14] = byte(i>>8), byte(i)
	} else {
		a[5], a[6] = byte(i>>8), byte(i)
	}
	return a
}

func TestAttack_I10_flood(t *testing.T) {
	// A million first fragments from a thousand sources; every thousandth packet belongs to a datagram that completes.
	n := 1_000_000
	if testing.Short() {
		n = 100_000
	}
	eachFamily(t, func(t *testing.T, f family) {
		r := NewReassembler(testLimit)
		rnd := seeded(t, 4)
		bad := mustParse(t, cut(f.someDatagram(100), 1, 0, 24, true))
		good := f.someDatagram(2000)
		halves := f.shred(good, 1, 1000)
		complete := 0
		before := heapInUse()
		for i := range n {
			if i%1000 == 0 {
				give(t, r, int64(i), halves[0])
			}
			if i%1000 == 500 {
				if got, _ := give(t, r, int64(i), halves[1]); got != nil {
					complete++
				}
			}
			bad.Src = f.source(1 + i%1000)
			bad.Fragment.ID = rnd.Uint32()
			r.Add(int64(i), bad)
		}
		checkBooks(t, r)
		if complete < n/1000/2 {
			t.Errorf("%d of %d good datagrams completed under the flood, want half", complete, n/1000)
		}
		if used := heapInUse() - before; used > 2*testLimit {
			t.Errorf("%d bytes of heap for a limit of %d: the bookkeeping is charged too little", used, testLimit)
		}
		runtime.KeepAlive(r)
	})
}

func heapInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

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
