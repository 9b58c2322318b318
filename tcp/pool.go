package tcp

import "math/bits"

// Memory is the budget that the tables of all shards share. Charge reports whether n more bytes may be used; what was
// charged comes back through Release. Pressure reports that the budget is nearly used up: windows stop growing.
type Memory interface {
	Charge(n int) bool
	Release(n int)
	Pressure() bool
}

// unlimited is the budget of a table that was given none.
type unlimited struct{}

func (unlimited) Charge(int) bool { return true }
func (unlimited) Release(int)     {}
func (unlimited) Pressure() bool  { return false }

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	slabPages = 256
)

// page names a page of a pool; 0 is none.
type page uint32

// pool hands out pages for the streams of one table. Pages are carved from slabs, are not cleared, and are found by
// number: a connection's record holds no pointers to them. Each page in use is charged to the budget.
type pool struct {
	memory Memory
	slabs  [][]byte
	free   freePages
	used   int
	lent   bool   // a packet built from pages is on its way to the link
	limbo  []page // pages let go meanwhile, not to be given to anybody yet
	rings  ringPool
}

// get returns a page of arbitrary content, or 0 when the budget refuses.
func (p *pool) get() page {
	if !p.memory.Charge(pageSize) {
		return 0
	}
	p.used++
	pg, ok := p.free.take()
	if !ok {
		p.slabs = append(p.slabs, make([]byte, slabPages*pageSize))
		p.free.grow()
		pg, _ = p.free.take()
	}
	return pg
}

func (p *pool) put(pg page) {
	if p.lent {
		p.limbo = append(p.limbo, pg)
	} else {
		p.free.give(pg)
	}
	p.used--
	p.memory.Release(pageSize)
}

// endLoan: the packet is sent.
func (p *pool) endLoan() {
	if !p.lent {
		return
	}
	for _, pg := range p.limbo {
		p.free.give(pg)
	}
	p.limbo, p.lent = p.limbo[:0], false
}

func (p *pool) bytes(pg page) []byte {
	i := int(pg-1) % slabPages * pageSize
	return p.slabs[int(pg-1)/slabPages][i : i+pageSize : i+pageSize]
}

// ringNumber names a ring of a pool; 0 is none.
type ringNumber uint32

// ringPool hands out rings of pages for the streams that are long. Each is charged to the budget while it is in use; a few of
// each length wait for the next stream.
type ringPool struct {
	rings   [][]page // by number, less one
	free    [maxRingBits][]ringNumber
	unused  []ringNumber // without a ring
	charged int          // bytes
}

const (
	maxRingBits = 20 // of 2^19 pages, half of what sequence numbers can tell apart
	keptRings   = 16
	ringEntry   = 4 // bytes
)

func (p *pool) ring(i ringNumber) []page { return p.rings.rings[i-1] }

// getRing returns a ring of n pages, a power of two, none of which is there yet; 0 when the budget refuses.
func (p *pool) getRing(n int) ringNumber {
	if !p.memory.Charge(n * ringEntry) {
		return 0
	}
	r := &p.rings
	r.charged += n * ringEntry
	class := bits.Len(uint(n)) - 1
	if i, ok := last(&r.free[class]); ok {
		return i
	}
	i, ok := last(&r.unused)
	if !ok {
		r.rings = append(r.rings, nil)
		i = ringNumber(len(r.rings))
	}
	r.rings[i-1] = make([]page, n)
	return i
}

func (p *pool) putRing(i ringNumber) {
	r := &p.rings
	ring := r.rings[i-1]
	p.memory.Release(len(ring) * ringEntry)
	r.charged -= len(ring) * ringEntry
	class := bits.Len(uint(len(ring))) - 1
	if len(r.free[class]) >= keptRings {
		r.rings[i-1] = nil
		r.unused = append(r.unused, i)
		return
	}
	clear(ring)
	r.free[class] = append(r.free[class], i)
}

// last takes the last of a list.
func last[T any](list *[]T) (v T, ok bool) {
	n := len(*list)
	if n == 0 {
		return v, false
	}
	v = (*list)[n-1]
	*list = (*list)[:n-1]
	return v, true
}
