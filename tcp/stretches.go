package tcp

import (
	"slices"
	"unsafe"
)

// sent is a stretch of sequence space that was transmitted at one time and has one fate.
type sent struct {
	start, end Seq
	at         Time // of the last transmission
	mark       mark // what was known then
	fate       fate
	limited    bool // the application had nothing more to send for a while before it
}

type fate uint8

const (
	sacked        fate = 1 << iota // the peer holds it
	lost                           // deemed lost and not yet transmitted again
	retransmitted                  // transmitted more than once
	probing                        // a segment larger than the path is known to carry
)

func (s *sent) len() int { return s.end.Sub(s.start) }

// stretches is a list of them in ascending order, in blocks: a flight of thousands costs no more to cut, search and look through
// for losses than a block and the number of blocks. Memory stays for what comes next.
type stretches struct {
	blocks []block // none is empty; behind them lie those that were
	n      int32   // records
	room   int32   // records that there is memory for
}

const (
	blockRecords = 128
	firstRecords = 4 // that a block has memory for at first
)

// block is a part of the list, with what saves looking at each of its records.
type block struct {
	list []sent
	room []sent // the memory, in which list may begin later

	open, lost     int  // bytes neither sacked nor lost, and lost ones
	oldest, newest Time // transmissions of what is open
	stale          bool // one of the two may be that of a record that is open no longer
}

// place is where a record lies. It holds until a record is inserted or removed.
type place struct{ block, i int }

func (l *stretches) at(p place) *sent { return &l.blocks[p.block].list[p.i] }

func (l *stretches) has(p place) bool { return p.block < len(l.blocks) }

func (l *stretches) empty() bool { return len(l.blocks) == 0 }

// first returns the first record of a list that is not empty.
func (l *stretches) first() *sent { return &l.blocks[0].list[0] }

func (l *stretches) next(p place) place {
	if p.i++; p.i == len(l.blocks[p.block].list) {
		return place{p.block + 1, 0}
	}
	return p
}

func (l *stretches) previous(p place) (q place, ok bool) {
	switch {
	case p.i > 0:
		return place{p.block, p.i - 1}, true
	case p.block > 0:
		return l.lastOf(p.block - 1), true
	}
	return p, false
}

func (l *stretches) last() place { return l.lastOf(len(l.blocks) - 1) }

func (l *stretches) lastOf(block int) place { return place{block, len(l.blocks[block].list) - 1} }

// search returns the place of the record that contains s, or where there is none.
func (l *stretches) search(s Seq) place {
	lo, hi := 0, len(l.blocks)
	for lo < hi {
		m := int(uint(lo+hi) / 2)
		if b := l.blocks[m].list; b[len(b)-1].end.LessEq(s) {
			lo = m + 1
		} else {
			hi = m
		}
	}
	if lo == len(l.blocks) {
		return place{lo, 0}
	}
	list, i := l.blocks[lo].list, 0
	for n := len(list); n > 0; {
		half := (n + 1) / 2
		if next := i + half; list[next-1].end.LessEq(s) {
			i = next
		}
		n -= half
	}
	return place{lo, i}
}

// append puts r at the end and returns where it lies.
func (l *stretches) append(r sent) (*block, *sent) {
	k := len(l.blocks) - 1
	if k < 0 || len(l.blocks[k].list) == cap(l.blocks[k].list) && !l.makeRoom(k) {
		k++
		l.addBlock(k)
	}
	b := &l.blocks[k]
	n := len(b.list)
	b.list = b.list[:n+1]
	b.list[n] = r
	l.n++
	return b, &b.list[n]
}

// insert puts r behind the record at p, and returns where that lies afterwards.
func (l *stretches) insert(p place, r sent) place {
	if !l.makeRoom(p.block) {
		l.halve(p.block)
		if half := len(l.blocks[p.block].list); p.i >= half {
			p = place{p.block + 1, p.i - half}
		}
	}
	b := &l.blocks[p.block]
	b.list = slices.Insert(b.list, p.i+1, r)
	l.n++
	return p
}

// remove takes the record at p away.
func (l *stretches) remove(p place) {
	b := &l.blocks[p.block]
	b.list = slices.Delete(b.list, p.i, p.i+1)
	if l.n--; len(b.list) == 0 {
		l.dropBlock(p.block)
	}
}

// removeFirst takes the first n records of the first block away.
func (l *stretches) removeFirst(n int) {
	b := &l.blocks[0]
	b.list = b.list[n:]
	if l.n -= int32(n); len(b.list) == 0 {
		l.dropBlock(0)
	}
}

// makeRoom makes room for one more record at the end of block k; false: it is full.
func (l *stretches) makeRoom(k int) bool {
	b := &l.blocks[k]
	n, free := len(b.list), len(b.room)-cap(b.list) // free before its beginning
	switch {
	case n < cap(b.list):
	case free > 0 && free >= n/2:
		b.list = b.room[:copy(b.room, b.list)]
	case len(b.room) < blockRecords:
		l.enlarge(b, min(2*len(b.room), blockRecords))
	default:
		return false
	}
	return true
}

// enlarge gives b memory for n records.
func (l *stretches) enlarge(b *block, n int) {
	l.room += int32(n - len(b.room))
	b.room = make([]sent, n)
	b.list = b.room[:copy(b.room, b.list)]
}

// addBlock puts an empty block before block k. It takes the memory of the first of those that were.
func (l *stretches) addBlock(k int) {
	n := len(l.blocks)
	if n == cap(l.blocks) {
		l.blocks = append(l.blocks, block{})
	} else {
		l.blocks = l.blocks[:n+1]
	}
	if k < n {
		room := l.blocks[n].room
		copy(l.blocks[k+1:], l.blocks[k:n])
		l.blocks[k].room = room
	}
	b := &l.blocks[k]
	b.list, b.open, b.lost, b.oldest, b.newest, b.stale = b.room[:0], 0, 0, Never, 0, false
	if len(b.room) == 0 {
		l.enlarge(b, firstRecords)
	}
}

// halve moves the second half of block k into one of its own.
func (l *stretches) halve(k int) {
	l.addBlock(k + 1)
	b, c := &l.blocks[k], &l.blocks[k+1]
	half := len(b.list) / 2
	if len(c.room) < blockRecords {
		l.enlarge(c, blockRecords)
	}
	c.list = c.room[:copy(c.room, b.list[half:])]
	b.list = b.list[:half]
	b.recount()
	c.recount()
}

// join puts the records of the block behind block k into it, if together they fill at most half of one: who makes blocks and
// empties them but for a few records would get the memory of a block for each.
func (l *stretches) join(k int) bool {
	b, c := &l.blocks[k], &l.blocks[k+1]
	n := len(b.list) + len(c.list)
	switch {
	case n > blockRecords/2:
		return false
	case n > len(b.room):
		l.enlarge(b, blockRecords)
	case n > cap(b.list):
		b.list = b.room[:copy(b.room, b.list)]
	}
	b.list = append(b.list, c.list...)
	b.recount()
	l.dropBlock(k + 1)
	return true
}

func (l *stretches) dropBlock(k int) {
	n := len(l.blocks) - 1
	if k < n {
		room := l.blocks[k].room
		copy(l.blocks[k:], l.blocks[k+1:])
		l.blocks[n].room = room
	}
	l.blocks = l.blocks[:n]
}

// bytes returns how much memory the list takes.
func (l *stretches) bytes() int {
	return int(l.room)*int(unsafe.Sizeof(sent{})) + cap(l.blocks)*int(unsafe.Sizeof(block{}))
}

// kept returns an empty list with the memory of this one, if that is worth keeping.
func (l *stretches) kept() stretches {
	if l.room > keptRecords {
		return stretches{}
	}
	return stretches{blocks: l.blocks[:0], room: l.room}
}

// count notes that s becomes one of the block's, sign 1, or is one no longer, -1.
func (b *block) count(s *sent, sign int) {
	n := sign * s.len()
	switch {
	case s.fate&sacked != 0:
	case s.fate&lost != 0:
		b.lost += n
	case sign > 0:
		b.open += n
		b.oldest, b.newest = min(b.oldest, s.at), max(b.newest, s.at)
	default:
		b.open += n
		b.stale = b.stale || s.at == b.oldest || s.at == b.newest
	}
}

// refresh makes oldest and newest those of records that are open.
func (b *block) refresh() {
	if b.stale {
		b.recount()
	}
}

func (b *block) recount() {
	b.open, b.lost, b.oldest, b.newest, b.stale = 0, 0, Never, 0, false
	for i := range b.list {
		b.count(&b.list[i], 1)
	}
}
