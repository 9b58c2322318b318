package tcp

import "unsafe"

// busy is what a connection needs only while bytes wait or are under way, lie beyond a hole, or a repair may still be taken
// back. Connections share one that is empty, Table.idle, until the first of these; rest takes theirs away again. So an idle
// one keeps a pointer of it, and what reads the fields need not ask.
type busy struct {
	flight flight
	away   int32 // bytes that the duplicate acknowledgements of a peer without SACK say have left the network
	sndUp  Seq   // SND.UP: the number behind the last urgent byte that was written, while urgent
	rack   rack
	tlp    lossProbe
	prr    prr
	undo   undo

	rate    sampler
	release Time // when pacing lets the next packet leave

	ahead  ranges            // received beyond a hole
	recent [recentRanges]Seq // one number of each range that came lately, the latest first
	dsack  span
	came   uint32 // bytes received beyond a hole since rcv.measured
	news   uint8  // how many of recent no acknowledgement has reported

	charged bool
	urgent  bool   // SND.UP is set and not yet acknowledged
	more    bool   // what was written last goes on at once; see SetMore
	index   uint32 // in its slab
	lists   uint32 // bytes that are charged for flight and ahead
}

// recentRanges is how many ranges of one batch are reported, in as many acknowledgements as it takes.
const recentRanges = 12

const busySize = int(unsafe.Sizeof(busy{}))

// keptRecords is how long a list may be that stays with its record for the next connection: short exchanges come and go
// without allocation.
const keptRecords = 64

// longLists returns the bytes of the lists of b that are longer than one that stays with its record: a peer that acknowledges
// every other segment makes them grow.
func (b *busy) longLists() (n uint32) {
	if b.flight.room > keptRecords {
		n += uint32(b.flight.bytes())
	}
	if k := cap(b.ahead); k > keptRecords {
		n += uint32(k * int(unsafe.Sizeof(span{})))
	}
	return n
}

// chargeLists follows lists that have grown. They are there already, and a refusal hinders nobody: it is tried again, and who
// fills the budget is ended before it is used up; see reclaim.
func (t *Table) chargeLists(b *busy, n uint32) {
	if more := int(n) - int(b.lists); more > 0 && !t.cfg.Memory.Charge(more) {
		return
	} else if more < 0 {
		t.cfg.Memory.Release(-more)
	}
	t.listBytes += int(n) - int(b.lists)
	b.lists = n
}

// engage gives c a record of its own, before anything is written there; false when the budget refuses.
func (t *Table) engage(c *Conn) bool {
	if c.busy != &t.idle {
		return true
	}
	if !t.cfg.Memory.Charge(busySize) {
		return false
	}
	t.nBusies++
	t.takeBusy(c, true)
	return true
}

// engageAnyway is engage for a FIN, which must not wait for memory.
func (t *Table) engageAnyway(c *Conn) {
	if !t.engage(c) {
		t.takeBusy(c, false)
	}
}

func (t *Table) takeBusy(c *Conn, charged bool) {
	i := t.busies.get()
	b := t.busies.at(i)
	b.index, b.charged = i, charged
	b.rack.fack = c.snd.una
	b.rate.delivered = uint32(c.stats.bytesAcked) // HyStart's rounds go on, and what BBR counts
	if c.cc.bbr != nil {
		b.rate.delivered = c.cc.bbr.delivered
	}
	b.rate.dry(0)
	c.busy = b
}

// disengage takes the record of c away, whatever is in it.
func (t *Table) disengage(c *Conn) {
	b := c.busy
	if b == &t.idle {
		return
	}
	c.busy = &t.idle
	if b.charged {
		t.nBusies--
		t.cfg.Memory.Release(busySize)
	}
	if b.lists != 0 {
		t.chargeLists(b, 0)
	}
	kept, ahead := b.flight.kept(), b.ahead[:0]
	if cap(ahead) > keptRecords {
		ahead = nil
	}
	i := b.index
	*b = busy{} // not with what is kept: that would be a copy of half a kilobyte
	b.flight.stretches, b.ahead = kept, ahead
	t.busies.put(i)
}

// rest takes the record of c away when nothing in it counts any more, and charges what it has become otherwise.
func (t *Table) rest(c *Conn) {
	if c.busy == &t.idle {
		return
	}
	if c.quiet() {
		t.disengage(c)
	} else if n := c.busy.longLists(); n != c.busy.lists {
		t.chargeLists(c.busy, n)
	}
}

func (c *Conn) quiet() bool {
	return c.flight.empty() && c.snd.buf.len == 0 && c.snd.fin == c.snd.finSent && len(c.ahead) == 0 &&
		c.dsack.start == c.dsack.end && !c.undo.valid && c.recovery.kind == recoverNone && !c.tlp.out && !c.pinned.has(pinWrite)
}
