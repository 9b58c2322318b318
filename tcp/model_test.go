package tcp

import (
	"bytes"
	"testing"
)

// starts are places in the circle of sequence numbers where arithmetic may go wrong.
var starts = []Seq{0, 1, 4095, 4096, 1<<31 - 3, 1 << 31, 1<<32 - 1, 1<<32 - 5000}

// The stream against a slice of bytes.
func TestStream_againstASlice(t *testing.T) {
	for seed := range 40 {
		r := random(seed)
		m := &budget{}
		p := pool{memory: m}
		s := stream{front: starts[seed%len(starts)]}
		var model []byte
		for range 400 {
			switch r.below(5) {
			case 0, 1:
				b := randomBytes(&r, int(r.below(20_000)))
				if r.below(3) == 0 {
					m.refuseAt, m.refuseCount = m.charges+int(r.below(4)), 1
				}
				n := s.store(&p, s.end(), b)
				s.len += uint32(n)
				model = append(model, b[:n]...)
			case 2:
				n := int(r.below(int64(len(model) + 1)))
				s.advance(&p, n)
				model = model[n:]
				s.trim(&p, false)
			case 3:
				at := int(r.below(int64(len(model) + 1)))
				got := make([]byte, int(r.below(int64(len(model)-at+1))))
				s.load(&p, s.front.Add(at), got)
				if !bytes.Equal(got, model[at:at+len(got)]) {
					t.Fatalf("seed %d: load(%d, %d) differs", seed, at, len(got))
				}
			case 4:
				at := int(r.below(int64(len(model) + 1)))
				n := int(r.below(int64(len(model) - at + 1)))
				if got := bytes.Join(s.slices(&p, s.front.Add(at), n, nil), nil); !bytes.Equal(got, model[at:at+n]) {
					t.Fatalf("seed %d: slices(%d, %d) differs", seed, at, n)
				}
			}
			if int(s.len) != len(model) || m.used != p.used*pageSize+p.rings.charged || p.used != int(s.stored) {
				t.Fatalf("seed %d: %d bytes, want %d; %d pages of %d", seed, s.len, len(model), s.stored, p.used)
			}
			if len(model) == 0 && (s.stored > 1 || s.stored == 0 && s.big == 0 && p.rings.charged != 0) {
				t.Fatalf("seed %d: empty, with %d pages and %d bytes of rings", seed, s.stored, p.rings.charged)
			}
		}
		if s.clear(&p); m.used != 0 {
			t.Fatalf("seed %d: %d bytes lost", seed, m.used)
		}
	}
}

func randomBytes(r *random, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.next())
	}
	return b
}

// ranges against a slice of booleans.
func TestRanges_againstASlice(t *testing.T) {
	const size = 600
	for seed := range 60 {
		r := random(seed)
		base := starts[seed%len(starts)]
		var set ranges
		var model [size + 1]bool
		low := 0
		for low < size {
			a := low + int(r.below(int64(size-low)))
			x := span{base.Add(a), base.Add(min(a+int(r.below(20)), size))}
			switch r.below(6) {
			case 0, 1, 2:
				if x.len() > 0 && set.fits(x, 1<<16) {
					set.add(x)
					for i := a; i < a+x.len(); i++ {
						model[i] = true
					}
				}
			case 3:
				checkGap(t, seed, set, model[:], base, x)
			case 4:
				got, ok := set.covering(x.start)
				if ok != model[a] || ok && (x.start.Less(got.start) || got.end.LessEq(x.start)) {
					t.Fatalf("seed %d: covering(%d) is %v, %v", seed, a, got, ok)
				}
			case 5:
				low = min(a, low+10)
				reach := set.dropBefore(base.Add(low)).Sub(base)
				for low < reach {
					if !model[low] {
						t.Fatalf("seed %d: %d is said to be in", seed, low)
					}
					low++
				}
				if model[low] {
					t.Fatalf("seed %d: %d is in", seed, low)
				}
			}
			checkRanges(t, seed, set, model[:], base, low)
		}
	}
}

func checkGap(t *testing.T, seed int, set ranges, model []bool, base Seq, x span) {
	t.Helper()
	g := set.gap(x)
	i, end := x.start.Sub(base), x.end.Sub(base)
	for i < end && model[i] {
		i++
	}
	j := i
	for j < end && !model[j] {
		j++
	}
	if g.len() != j-i || g.len() > 0 && g.start != base.Add(i) {
		t.Fatalf("seed %d: gap(%v) is %v, want %d-%d", seed, x, g, i, j)
	}
}

func checkRanges(t *testing.T, seed int, set ranges, model []bool, base Seq, low int) {
	t.Helper()
	n, last := 0, -1
	for _, x := range set {
		if a := x.start.Sub(base); a <= last || x.len() <= 0 {
			t.Fatalf("seed %d: %v is out of order or touches", seed, set)
		}
		last = x.end.Sub(base)
		n += x.len()
		for i := x.start.Sub(base); i < last; i++ {
			if !model[i] {
				t.Fatalf("seed %d: %d is not in", seed, i)
			}
		}
	}
	for i := low; i < len(model); i++ {
		if model[i] {
			n--
		}
	}
	if n != 0 {
		t.Fatalf("seed %d: wrong number of bytes, %d too many", seed, n)
	}
}

// flight against an array with the fate of each byte.
func TestFlight_againstASlice(t *testing.T) {
	blocks := 0
	for seed := range 30 {
		r := random(seed)
		una := starts[seed%len(starts)]
		nxt, now := una, Time(1)
		var f flight
		var model []fate
		for range 1500 {
			now++
			blocks = max(blocks, len(f.blocks))
			switch r.below(7) {
			case 0, 1:
				n := int(r.below(100)) + 1
				f.push(span{nxt, nxt.Add(n)}, now, 0)
				nxt = nxt.Add(n)
				model = append(model, make([]fate, n)...)
			case 2:
				n := int(r.below(int64(min(len(model), 200) + 1)))
				fresh := 0
				f.ack(una.Add(n), func(s *sent) { fresh += s.len() })
				for _, x := range model[:n] {
					if x&sacked == 0 {
						fresh--
					}
				}
				if fresh != 0 {
					t.Fatalf("seed %d: ack(%d) delivered %d bytes too many", seed, n, fresh)
				}
				una, model = una.Add(n), model[n:]
			case 3, 4:
				a := int(r.below(int64(len(model) + 1)))
				b := a + int(r.below(int64(min(len(model)-a, 150)+1)))
				if a == b {
					continue
				}
				f.sack(span{una.Add(a), una.Add(b)}, func(*sent) {})
				for i := a; i < b; i++ {
					model[i] = model[i]&^lost | sacked
				}
			case 5:
				if !f.empty() {
					k := int(r.below(int64(len(f.blocks))))
					p := place{k, int(r.below(int64(len(f.blocks[k].list))))}
					f.lose(p)
					x := f.at(p)
					for k := x.start.Sub(una); k < x.end.Sub(una); k++ {
						if model[k]&sacked == 0 {
							model[k] |= lost
						}
					}
				}
			case 6:
				if p, ok := f.firstLost(); ok {
					x := span{f.at(p).start, f.at(p).end}
					x.end = x.start.Add(int(r.below(int64(x.len()))) + 1)
					f.resent(p, x, now)
					for k := x.start.Sub(una); k < x.end.Sub(una); k++ {
						model[k] = model[k]&^lost | retransmitted
					}
				}
			}
			checkFlight(t, seed, &f, model, una, nxt)
		}
	}
	if blocks < 3 {
		t.Errorf("at most %d blocks: what goes from one to another is not shown", blocks)
	}
}

func checkFlight(t *testing.T, seed int, f *flight, model []fate, una, nxt Seq) {
	t.Helper()
	sum, at := flight{}, una
	for p := (place{}); f.has(p); p = f.next(p) {
		s := f.at(p)
		if s.start != at || s.len() <= 0 {
			t.Fatalf("seed %d: record %v is [%d, %d), at %d", seed, p, s.start, s.end, at)
		}
		for k := s.start.Sub(una); k < s.end.Sub(una); k++ {
			if (model[k]^s.fate)&(sacked|lost) != 0 {
				t.Fatalf("seed %d: byte %d is %b, want %b", seed, k, s.fate, model[k])
			}
		}
		sum.tally(s, 1)
		at = s.end
	}
	for k, b := range f.blocks {
		d := b
		d.recount()
		if len(b.list) == 0 || b.open != d.open || b.lost != d.lost || !b.stale && d.open > 0 && (b.oldest != d.oldest || b.newest != d.newest) {
			t.Fatalf("seed %d: block %d says %d open, %d lost, sent %d to %d; it is %d, %d, %d to %d",
				seed, k, b.open, b.lost, b.oldest, b.newest, d.open, d.lost, d.oldest, d.newest)
		}
	}
	if at != nxt || sum.pipe != f.pipe || sum.sacked != f.sacked || sum.lost != f.lost {
		t.Fatalf("seed %d: ends at %d of %d; pipe %d/%d, sacked %d/%d, lost %d/%d",
			seed, at, nxt, f.pipe, sum.pipe, f.sacked, sum.sacked, f.lost, sum.lost)
	}
}

// Each of the segments that a long path holds keeps the time of its transmission; single bytes share one from some number on.
func TestFlight_keepsTimes(t *testing.T) {
	for _, x := range []struct{ size, records int }{{1448, 6000}, {1, minFlight}} {
		var f flight
		for i := range 6000 {
			f.push(span{Seq(i * x.size), Seq((i + 1) * x.size)}, Time(i), 0)
		}
		if int(f.n) != x.records {
			t.Errorf("%d records for 6000 pieces of %d bytes, want %d", f.n, x.size, x.records)
		}
		if s := f.at(f.search(Seq((minFlight - 2) * x.size))); s.at != minFlight-2 {
			t.Errorf("%d was sent at %d", minFlight-2, s.at)
		}
	}
}
