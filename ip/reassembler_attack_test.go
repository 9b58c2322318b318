package ip

import (
	"bytes"
	"runtime"
	"testing"
)

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
		first, rest := mustParse(t, cut(good, 1, 0, 1000, true)), mustParse(t, cut(good, 1, 1000, 2000, false))
		complete := 0
		before := heapInUse()
		for i := range n {
			if i%1000 == 0 {
				r.Add(int64(i), first)
			}
			if i%1000 == 500 {
				if got, _ := r.Add(int64(i), rest); got != nil {
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
