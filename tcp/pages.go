package tcp

import "math/bits"

// freePages is the set of free pages, in units of neighbours. Pages are handed out from one unit in the order of their addresses, and
// a unit that has come back whole goes first: what is written in one go then lies in few pieces, which the kernel copies faster than
// sixteen pages from anywhere.
type freePages struct {
	units []unit
	from  int      // the unit that pages are taken from
	whole []uint32 // units that had all of their pages when they were listed, the latest last
	some  []uint32 // units that had some
}

// unit is a run of pages; a bit is set for each that is free.
type unit struct {
	free            uint16
	inWhole, inSome bool // it is listed there, though it may be another than it was
}

const (
	unitPages = 16
	wholeUnit = 1<<unitPages - 1
)

// take returns a free page; false when there is none.
func (f *freePages) take() (page, bool) {
	if (f.from >= len(f.units) || f.units[f.from].free == 0) && !f.choose() {
		return 0, false
	}
	u := &f.units[f.from]
	i := bits.TrailingZeros16(u.free)
	u.free &= u.free - 1
	return page(f.from*unitPages+i) + 1, true
}

// choose finds the next unit to take pages from. What was listed may have changed since.
func (f *freePages) choose() bool {
	for len(f.whole) > 0 {
		k, _ := last(&f.whole)
		u := &f.units[k]
		if u.inWhole = false; u.free == wholeUnit {
			f.from = int(k)
			return true
		}
		if u.free != 0 && !u.inSome {
			f.list(u, k)
		}
	}
	for len(f.some) > 0 {
		k, _ := last(&f.some)
		u := &f.units[k]
		if u.inSome = false; u.free != 0 {
			f.from = int(k)
			return true
		}
	}
	return false
}

// give takes a page back.
func (f *freePages) give(pg page) {
	u := &f.units[(pg-1)/unitPages]
	u.free |= 1 << ((pg - 1) % unitPages)
	if u.inWhole || u.inSome && u.free != wholeUnit {
		return // choose comes by
	}
	f.list(u, uint32(pg-1)/unitPages)
}

// list lists unit k, of which pages are free.
func (f *freePages) list(u *unit, k uint32) {
	if u.free == wholeUnit {
		u.inWhole = true
		f.whole = append(f.whole, k)
	} else {
		u.inSome = true
		f.some = append(f.some, k)
	}
}

// grow adds the pages of a slab.
func (f *freePages) grow() {
	for range slabPages / unitPages {
		f.units = append(f.units, unit{free: wholeUnit, inWhole: true})
		f.whole = append(f.whole, uint32(len(f.units)-1))
	}
}
