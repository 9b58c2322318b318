package tcp

import (
	"math/bits"
	"unsafe"
)

// flowTable finds the record of a flow. It is a hash table of buckets of eight, a cache line each. An entry lies in one of the
// two buckets that its hash names, so that a lookup looks at two, at four while the table is resized, and at no more whatever
// an attacker sends (attack class H13); the hash is keyed. An entry is eight bytes: the record has the flow itself.
//
// No insertion pays for a larger table: its buckets appear in chunks as they are first needed, and each insertion or removal
// takes some buckets of the old one along.
type flowTable struct {
	cur, old flowBuckets
	moved    int        // buckets of old that are empty and stay so
	spilled  []flowSlot // entries both of whose buckets were full: never, as good as
	last     ref        // what was found last: segments of one flow come one after the other
	hashed   Flow       // the flow that was hashed last: who is not found is entered, who is left is entered as something else
	tag      uint32     // of hashed
	n        int
}

// flowSlot is an entry; ref 0: none.
type flowSlot struct {
	tag uint32 // hash of the flow
	ref ref
}

const (
	bucketSlots  = 8
	chunkBuckets = 1024
	minBuckets   = 16
	movedAtOnce  = 2
)

// placeSize is what a flow takes here: the table is half full after it has grown.
const placeSize = 2 * int(unsafe.Sizeof(flowSlot{}))

type flowBucket [bucketSlots]flowSlot

// flowBuckets are a power of two of them, or none.
type flowBuckets struct {
	chunks [][]flowBucket // nil: all are empty
	bits   int
	n      int
}

func newBuckets(n int) flowBuckets {
	return flowBuckets{chunks: make([][]flowBucket, (n+chunkBuckets-1)/chunkBuckets), bits: bits.Len(uint(n)) - 1, n: n}
}

// at returns bucket i, nil when its chunk is not there.
func (b *flowBuckets) at(i uint32) *flowBucket {
	c := b.chunks[i/chunkBuckets]
	if c == nil {
		return nil
	}
	return &c[i%chunkBuckets]
}

// make returns bucket i.
func (b *flowBuckets) make(i uint32) *flowBucket {
	c := &b.chunks[i/chunkBuckets]
	if *c == nil {
		*c = make([]flowBucket, min(b.n, chunkBuckets))
	}
	return &(*c)[i%chunkBuckets]
}

// pair returns the two buckets in which an entry may lie.
func (b *flowBuckets) pair(tag uint32) (uint32, uint32) {
	return tag & uint32(b.n-1), tag * 0x9e3779b1 >> (32 - b.bits)
}

// used counts the entries of a bucket.
func (b *flowBucket) used() int {
	n := 0
	for i := range b {
		if b[i].ref != 0 {
			n++
		}
	}
	return n
}

// place puts e into the first of its buckets as long as that has room enough, then into the emptier.
func (b *flowBuckets) place(e flowSlot) bool {
	i, k := b.pair(e.tag)
	p := b.make(i)
	if n := p.used(); n > bucketSlots/2 {
		if q := b.make(k); q.used() < n {
			p = q
		}
	}
	for s := range p {
		if p[s].ref == 0 {
			p[s] = e
			return true
		}
	}
	return false
}

// slot returns where the record of f is entered, or nil.
func (t *Table) slot(f *Flow, tag uint32) *flowSlot {
	h := &t.flows
	for _, b := range [2]*flowBuckets{&h.cur, &h.old} {
		if b.n == 0 {
			continue
		}
		i, k := b.pair(tag)
		for _, i := range [2]uint32{i, k} {
			p := b.at(i)
			if p == nil {
				continue
			}
			for s := range p {
				if e := &p[s]; e.tag == tag && e.ref != 0 && *t.flowOf(e.ref) == *f {
					return e
				}
			}
		}
	}
	for s := range h.spilled {
		if e := &h.spilled[s]; e.tag == tag && e.ref != 0 && *t.flowOf(e.ref) == *f {
			return e
		}
	}
	return nil
}

// flowOf returns the flow of the record that r names.
func (t *Table) flowOf(r ref) *Flow {
	switch r.kind() {
	case refConn:
		return &t.conns.at(r.index()).flow
	case refHalf:
		return &t.halves.at(r.index()).flow
	default:
		return &t.waits.records.at(r.index()).flow
	}
}

// tag returns the hash of f.
func (t *Table) tag(f *Flow) uint32 {
	h := &t.flows
	if h.hashed != *f {
		h.hashed, h.tag = *f, t.secret.flowTag(f)
	}
	return h.tag
}

// find returns what f stands for, 0 when there is no record.
func (t *Table) find(f *Flow) ref {
	h := &t.flows
	if h.last != 0 && *t.flowOf(h.last) == *f {
		return h.last
	}
	if e := t.slot(f, t.tag(f)); e != nil {
		h.last = e.ref
		return e.ref
	}
	return 0
}

// enter makes f stand for r, in place of what it stood for; the record of that must still be there.
func (t *Table) enter(f *Flow, r ref) {
	t.flows.last = 0
	tag := t.tag(f)
	if e := t.slot(f, tag); e != nil {
		e.ref = r
		return
	}
	h := &t.flows
	h.n++
	h.resize()
	h.add(flowSlot{tag, r})
}

// leave ends that f stands for r, if it does.
func (t *Table) leave(f *Flow, r ref) {
	t.flows.last = 0
	e := t.slot(f, t.tag(f))
	if e == nil || e.ref != r {
		return
	}
	*e = flowSlot{}
	h := &t.flows
	h.n--
	h.resize()
}

func (h *flowTable) add(e flowSlot) {
	if !h.cur.place(e) {
		h.spilled = append(h.spilled, e)
	}
}

// resize keeps the table between an eighth and three quarters full, a little at a time.
func (h *flowTable) resize() {
	switch {
	case h.old.n != 0:
		h.move()
	case h.cur.n == 0:
		h.cur = newBuckets(minBuckets)
	case h.n*4 > h.cur.n*bucketSlots*3 || len(h.spilled) > 0:
		h.replace(2 * h.cur.n)
	case h.n*8 < h.cur.n*bucketSlots && h.cur.n > minBuckets:
		h.replace(h.cur.n / 2)
	}
}

// replace begins to move to a table of n buckets.
func (h *flowTable) replace(n int) {
	h.old, h.cur, h.moved = h.cur, newBuckets(n), 0
	spilled := h.spilled
	h.spilled = nil
	for _, e := range spilled {
		if e.ref != 0 {
			h.add(e)
		}
	}
	h.move()
}

// move takes some buckets along.
func (h *flowTable) move() {
	for range movedAtOnce {
		if p := h.old.at(uint32(h.moved)); p != nil {
			for s := range p {
				if p[s].ref != 0 {
					h.add(p[s])
					p[s] = flowSlot{}
				}
			}
		}
		h.moved++
		if h.moved%chunkBuckets == 0 {
			h.old.chunks[h.moved/chunkBuckets-1] = nil
		}
		if h.moved == h.old.n {
			h.old = flowBuckets{}
			return
		}
	}
}
