package tcp

import "math/bits"

const (
	tickShift   = 16 // a tick is 65.536 us
	wheelBits   = 6
	wheelSlots  = 1 << wheelBits
	wheelLevels = 6 // 2^36 ticks, 52 days; what lies further waits in the last level and is looked at again
)

// wheel is a hierarchical timing wheel. Entries are small dense numbers, each scheduled at most once; a slot is a doubly
// linked list of them. A slot of level l is 64^l ticks long; its entries move one level down when its time begins. An
// entry never comes out early, and at most a tick late by the wheel's own doing.
type wheel struct {
	now      int64 // tick
	heads    [wheelLevels][wheelSlots]uint32
	occupied [wheelLevels]uint64
	entries  []*[slabRecords]wheelEntry
}

// wheelEntry: links are numbers plus one, so that zero means none.
type wheelEntry struct {
	next, prev uint32
	key        uint64 // tick, and in the lowest 16 bits the place: level and slot plus one; 0: in no list
}

const placeBits = 16

func (e *wheelEntry) at() int64    { return int64(e.key >> placeBits) }
func (e *wheelEntry) queued() bool { return e.key&(1<<placeBits-1) != 0 }

func (e *wheelEntry) place() (level, slot int) {
	p := int(e.key&(1<<placeBits-1)) - 1
	return p >> wheelBits, p & (wheelSlots - 1)
}

func (w *wheel) entry(id uint32) *wheelEntry { return &w.entries[id/slabRecords][id%slabRecords] }

// schedule sets or moves entry id to come out at when.
func (w *wheel) schedule(id uint32, when Time) {
	w.cancel(id)
	for int(id/slabRecords) >= len(w.entries) {
		w.entries = append(w.entries, new([slabRecords]wheelEntry))
	}
	w.insert(id, max(int64((when-1)>>tickShift)+1, w.now+1))
}

func (w *wheel) insert(id uint32, at int64) {
	// The level follows from the highest bit in which the time differs from now.
	l := min((63-bits.LeadingZeros64(uint64(at^w.now)|1))/wheelBits, wheelLevels-1)
	s := at >> (l * wheelBits) & (wheelSlots - 1)
	if l == wheelLevels-1 && at>>(l*wheelBits)-w.now>>(l*wheelBits) >= wheelSlots {
		s = (w.now>>(l*wheelBits) - 1) & (wheelSlots - 1) // as far away as the wheel reaches
	}
	head := &w.heads[l][s]
	*w.entry(id) = wheelEntry{next: *head, key: uint64(at)<<placeBits | uint64(l<<wheelBits|int(s)+1)}
	if *head != 0 {
		w.entry(*head - 1).prev = id + 1
	}
	*head = id + 1
	w.occupied[l] |= 1 << s
}

// cancel takes entry id out, if it is in.
func (w *wheel) cancel(id uint32) {
	if !w.has(id) {
		return
	}
	e := w.entry(id)
	level, slot := e.place()
	e.key = 0
	if e.next != 0 {
		w.entry(e.next - 1).prev = e.prev
	}
	if e.prev != 0 {
		w.entry(e.prev - 1).next = e.next
		return
	}
	w.heads[level][slot] = e.next
	if e.next == 0 {
		w.occupied[level] &^= 1 << slot
	}
}

// has reports whether entry id is in.
func (w *wheel) has(id uint32) bool {
	return int(id/slabRecords) < len(w.entries) && w.entry(id).queued()
}

// nextSlot returns level, slot and begin of the slot that comes first.
func (w *wheel) nextSlot() (level, slot int, begin int64, ok bool) {
	for l := range wheelLevels {
		if w.occupied[l] == 0 {
			continue
		}
		shift := l * wheelBits
		cur := int(w.now >> shift & (wheelSlots - 1))
		d := bits.TrailingZeros64(bits.RotateLeft64(w.occupied[l], -cur))
		if d == 0 {
			d = wheelSlots // the current slot of this level comes round last
		}
		return l, (cur + d) & (wheelSlots - 1), (w.now>>shift + int64(d)) << shift, true
	}
	return 0, 0, 0, false
}

// next returns an instant before which no entry comes out; Never when the wheel is empty.
func (w *wheel) next() Time {
	_, _, begin, ok := w.nextSlot()
	if !ok {
		return Never
	}
	return Time(begin << tickShift)
}

// advance moves the wheel to now and appends to due the entries whose time has come, in order of ticks.
func (w *wheel) advance(now Time, due []uint32) []uint32 {
	to := int64(now >> tickShift)
	if to <= w.now { // every entry lies in a later tick
		return due
	}
	for {
		l, s, begin, ok := w.nextSlot()
		if !ok || begin > to {
			w.now = max(w.now, to)
			return due
		}
		w.now = begin
		id := w.heads[l][s]
		w.heads[l][s] = 0
		w.occupied[l] &^= 1 << s
		for id != 0 {
			e := w.entry(id - 1)
			next, at := e.next, e.at()
			e.key = 0
			if at <= w.now {
				due = append(due, id-1)
			} else {
				w.insert(id-1, at)
			}
			id = next
		}
	}
}
