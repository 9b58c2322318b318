package ip

import (
	"bytes"
	"testing"
)

// byteMap is the simplest Reassembler there is, for one datagram: who wrote which byte. It is the oracle of the real one.
type byteMap struct {
	payload [0x10000]byte
	there   [0x10000]bool
	ranges  map[[2]int]bool // fragments taken, with their More flag
	total   int
	end     int // behind the last byte there
	dead    bool
}

// add says whether the fragment completes the datagram, and whether it ends it.
func (m *byteMap) add(from int, data []byte, more bool) (complete bool, d Drop) {
	to := from + len(data)
	if m.dead {
		return false, DropFragmentOverlap
	}
	if old, known := m.ranges[[2]int{from, to}]; known && old == more && bytes.Equal(m.payload[from:to], data) {
		return false, DropFragmentDuplicate
	}
	m.dead = m.total != 0 && (to > m.total || !more) || !more && to < m.end
	for i := from; i < to; i++ {
		m.dead = m.dead || m.there[i]
	}
	if m.dead {
		return false, DropFragmentOverlap
	}
	m.ranges[[2]int{from, to}] = more
	for i := range data {
		m.payload[from+i], m.there[from+i] = data[i], true
	}
	m.end = max(m.end, to)
	if !more {
		m.total = to
	}
	for i := range m.total {
		if !m.there[i] {
			return false, DropNone
		}
	}
	return m.total != 0, DropNone
}

func FuzzReassembler(f *testing.F) {
	f.Add(true, []byte{0, 3, 1, 3, 2, 1, 5, 2, 0})
	f.Add(false, []byte{3, 2, 0, 0, 3, 1, 0, 3, 1})
	f.Add(false, []byte{0, 4, 1, 2, 4, 0, 2, 4, 0, 4, 4, 0})
	f.Fuzz(func(t *testing.T, six bool, script []byte) {
		fam := families[0]
		if six {
			fam = families[1]
		}
		r := NewReassembler(testLimit)
		m := &byteMap{ranges: map[[2]int]bool{}}
		// Three bytes make a fragment: where, how long, and flags with the contents.
		for ; len(script) >= 3; script = script[3:] {
			from, n, more := int(script[0])*8, int(script[1])%16*8, script[2]&1 != 0
			if n == 0 || from == 0 && !more || len(m.ranges) == maxFragments {
				return
			}
			if !more {
				n -= int(script[2] >> 1 & 7)
			}
			data := bytes.Repeat([]byte{script[2] >> 4 & 1}, n)
			b := cut(fam.build(99, data), 1, 0, n, more)
			setFragment(b, from, more)
			complete, want := m.add(from, data, more)
			got, d := give(t, r, 0, b)
			if d != want || (got != nil) != complete {
				t.Fatalf("%d bytes at %d, more=%v: complete %v %v, want %v %v", n, from, more, got != nil, d, complete, want)
			}
			if complete {
				wantSame(t, got, fam.build(99, m.payload[:m.total]))
				m = &byteMap{ranges: map[[2]int]bool{}}
			}
		}
	})
}

// setFragment moves a fragment.
func setFragment(b []byte, offset int, more bool) {
	setOffset(b, offset)
	if !more {
		return
	}
	if b[0]>>4 == 4 {
		b[6] |= flagMoreFragments >> 8
		putHeaderChecksum(b[:HeaderLen4])
	} else {
		b[HeaderLen6+3] |= 1
	}
}

// FuzzReassembler_hostile gives whatever parses to a Reassembler with little memory.
func FuzzReassembler_hostile(f *testing.F) {
	for _, fam := range families {
		var script []byte
		for _, x := range fam.shred(fam.someDatagram(200), 1, 64) {
			script = append(append(script, uint8(len(x))), x...)
		}
		f.Add(script)
	}
	f.Fuzz(func(t *testing.T, script []byte) {
		r := NewReassembler(16 << 10)
		for now := int64(0); len(script) > 0; now += second {
			n := min(int(script[0]), len(script)-1)
			b := bytes.Clone(script[1 : 1+n])
			script = script[1+n:]
			if len(b) > HeaderLen4 && b[0]>>4 == 4 {
				putHeaderChecksum(b[:min(len(b), max(HeaderLen4, int(b[0]&0xf)*4))])
			}
			var p Packet
			if p.Parse(b, Offload{}) != DropNone {
				continue
			}
			fragment := p.Fragment.IsFragment()
			got, d := r.Add(now, &p)
			checkBooks(t, r)
			if got == nil || !fragment {
				continue
			}
			var whole Packet
			if whole.Parse(got, Offload{}) == DropNone && whole.Fragment.IsFragment() {
				t.Fatalf("%v: a fragment out of fragments: %x", d, got)
			}
		}
	})
}
