package tcp

import (
	"fmt"
	"slices"
)

// Check examines the invariants of the table and of everything in it, and returns the first that is broken. It is meant for
// tests and simulators, which call it after every event, application call and poll; it looks at every record and is slow.
func (t *Table) Check() error {
	c := checker{t: t}
	c.flowsAndCounts()
	c.pages()
	c.rings()
	c.busies()
	c.recorders()
	c.growths()
	c.optionSets()
	c.bbrs()
	c.listeners()
	c.wheelEntries(&t.wheel, "connections")
	c.wheelEntries(&t.halfWheel, "half-open connections")
	for i := range t.conns.next {
		if conn := t.conns.at(i); conn.live {
			c.conn(conn)
		}
	}
	return c.err
}

// checker remembers the first broken invariant.
type checker struct {
	t   *Table
	err error
}

func (c *checker) require(ok bool, format string, args ...any) {
	if !ok && c.err == nil {
		c.err = fmt.Errorf(format, args...)
	}
}

// flowsAndCounts: each record that answers for a flow is found by it, nothing else is found, and the counts are right.
func (c *checker) flowsAndCounts() {
	t := c.t
	conns, halves, waits, found := 0, 0, 0, 0
	last := t.flows.last
	t.flows.last = 0
	c.require(last == 0 || t.find(t.flowOf(last)) == last, "what was found last is not entered")
	refers := func(f Flow, r ref) {
		found++
		c.require(t.find(&f) == r, "%v: the table does not refer to its record", f)
	}
	for i := range t.conns.next {
		if conn := t.conns.at(i); conn.live {
			conns++
			c.require(conn.slot == i, "%v: slot %d is kept in %d", &conn.flow, conn.slot, i)
			if !conn.detached {
				refers(conn.flow, makeRef(refConn, i))
			}
		}
	}
	for i := range t.halves.next {
		if h := t.halves.at(i); h.live {
			halves++
			refers(h.flow, makeRef(refHalf, i))
			c.require(t.halfWheel.has(i), "%v: half-open and nothing will end it", h.flow)
			c.require(t.listeners[h.listener].live, "%v: half-open on a listener that is gone", h.flow)
		}
	}
	for i := range t.waits.records.next {
		if w := t.waits.records.at(i); w.is(waitLive) {
			waits++
			refers(w.flow, makeRef(refTimeWait, i))
		}
	}
	c.require(conns == t.nConns, "%d connections, counted %d", conns, t.nConns)
	c.require(halves == t.nHalves, "%d half-open connections, counted %d", halves, t.nHalves)
	c.require(waits == t.waits.n, "%d TIME-WAIT records, counted %d", waits, t.waits.n)
	listed, kept := t.waits.listed()
	c.require(waits == listed, "%d TIME-WAIT records, %d of them will end", waits, listed)
	c.require(kept == t.waits.kept, "%d TIME-WAIT records in the list, counted %d", kept, t.waits.kept)
	c.require(found == t.flows.n, "%d flows for %d records", t.flows.n, found)
	c.require(t.flows.count() == t.flows.n, "%d flows are entered, counted %d", t.flows.count(), t.flows.n)
	t.flows.last = last
}

// optionSets: what connections share has not been changed under them.
func (c *checker) optionSets() {
	for _, l := range c.t.sets.latest {
		c.require(l.shared == nil || *l.shared == l.told, "options that connections share were changed from %+v to %+v", l.told, l.shared)
	}
}

// busies: each record of what is under way belongs to one connection or is free, and what idle ones share is empty.
func (c *checker) busies() {
	t, used, charged := c.t, 0, 0
	i := &t.idle
	c.require(i.flight.empty() && i.flight.pipe == 0 && i.away == 0 && i.rack == rack{} && i.tlp == lossProbe{} && i.prr == prr{} &&
		i.undo == undo{} && len(i.ahead) == 0 && i.recent == [recentRanges]Seq{} && i.news == 0 && i.dsack == span{},
		"what idle connections share is not empty: %+v", *i)
	for slot := range t.conns.next {
		conn := t.conns.at(slot)
		if !conn.live || conn.busy == i {
			continue
		}
		used++
		if conn.charged {
			charged++
		}
		c.require(t.busies.at(conn.index) == conn.busy, "%v: holds what is not its own", &conn.flow)
	}
	c.require(charged == t.nBusies, "%d records of work are charged, counted %d", charged, t.nBusies)
	c.require(used+len(t.busies.free) == int(t.busies.next), "%d records of work, %d in use, %d free", t.busies.next, used, len(t.busies.free))
}

// listed counts the records in the list: those that have not ended, and all.
func (l *timeWaits) listed() (live, all int) {
	for i := l.first; i != 0; i = l.records.at(i-1).link & waitLink {
		if all++; l.records.at(i - 1).is(waitLive) {
			live++
		}
	}
	return live, all
}

// recorders: each belongs to one connection or is free, and its path is one that RFC 9293 knows.
func (c *checker) recorders() {
	t, used := c.t, 0
	for i := range t.recorders.slab.next {
		r := t.recorders.slab.at(i)
		if r.owner == noOwner {
			continue
		}
		used++
		conn := t.conns.at(r.owner)
		c.require(conn.live && conn.recorder == i+1, "recorder %d is of no connection", i)
		c.require(r.steps > 0 && r.path[r.steps-1] == conn.state, "%v: in %v, recorded %v", &conn.flow, conn.state, r.path[:r.steps])
		for k := 1; k < int(r.steps); k++ {
			from, to := r.path[k-1], r.path[k]
			c.require(from == Listen && to == SynReceived || transitions[from].has(to), "%v: recorded from %v to %v", &conn.flow, from, to)
		}
	}
	c.require(used == t.recorders.n, "%d recorders in use, counted %d", used, t.recorders.n)
}

// count returns the entries of the table.
func (h *flowTable) count() int {
	n := 0
	for _, b := range [2]*flowBuckets{&h.cur, &h.old} {
		for _, chunk := range b.chunks {
			for i := range chunk {
				n += chunk[i].used()
			}
		}
	}
	for _, e := range h.spilled {
		if e.ref != 0 {
			n++
		}
	}
	return n
}

// growths: the same of what congestion control remembers.
func (c *checker) growths() {
	t, used, charged := c.t, 0, 0
	c.require(t.fresh == growth{}, "what connections without losses share is not empty: %+v", t.fresh)
	for slot := range t.conns.next {
		conn := t.conns.at(slot)
		if !conn.live || conn.cc.growth == &t.fresh {
			continue
		}
		used++
		if conn.cc.growth.charged {
			charged++
		}
		c.require(t.growths.at(conn.cc.growth.index) == conn.cc.growth, "%v: remembers what is not its own", conn.flow)
	}
	c.require(charged == t.nGrowths, "%d records of growth are charged, counted %d", charged, t.nGrowths)
	c.require(used+len(t.growths.free) == int(t.growths.next), "%d records of growth, %d in use, %d free", t.growths.next, used, len(t.growths.free))
}

// pages: each page belongs to one stream or is free, and the streams' counts are right.
func (c *checker) pages() {
	p := &c.t.pool
	owned := make([]bool, len(p.slabs)*slabPages+1)
	own := func(pg page, who any) {
		if pg == 0 {
			return
		}
		if owned[pg] {
			c.require(false, "%v: page %d has two owners", who, pg)
		}
		owned[pg] = true
	}
	used := 0
	for i := range c.t.conns.next {
		conn := c.t.conns.at(i)
		if !conn.live {
			c.require(conn.snd.buf.stored == 0 && conn.rcv.buf.stored == 0, "slot %d is free and holds pages", i)
			continue
		}
		for _, s := range []*stream{&conn.snd.buf, &conn.rcv.buf} {
			n := 0
			for _, pg := range s.ring(p) {
				own(pg, &conn.flow)
				if pg != 0 {
					n++
				}
			}
			c.require(n == int(s.stored), "%v: a stream has %d pages, counted %d", &conn.flow, n, s.stored)
			used += n
		}
	}
	free := 0
	for k := range p.free.units {
		u := &p.free.units[k]
		c.require(u.free == 0 || k == p.free.from || u.inWhole || u.inSome, "pages of unit %d are free and not listed", k)
		for i := range unitPages {
			if u.free>>i&1 != 0 {
				own(page(k*unitPages+i+1), "the free list")
				free++
			}
		}
	}
	for _, pg := range p.limbo {
		own(pg, "the limbo")
	}
	c.require(used == p.used, "%d pages in use, counted %d", used, p.used)
	c.require(used+free+len(p.limbo) == len(p.slabs)*slabPages, "pages were lost: %d used, %d free, %d in limbo", used, free, len(p.limbo))
}

// rings: each ring belongs to one stream or is free, and those in use are charged.
func (c *checker) rings() {
	r := &c.t.pool.rings
	users := make([]int, len(r.rings)+1)
	bytes := 0
	for i := range c.t.conns.next {
		conn := c.t.conns.at(i)
		for _, s := range []*stream{&conn.snd.buf, &conn.rcv.buf} {
			if conn.live && s.big != 0 {
				users[s.big]++
				bytes += len(r.rings[s.big-1]) * ringEntry
			}
		}
	}
	c.require(bytes == r.charged, "%d bytes of rings, %d are charged", bytes, r.charged)
	for _, free := range append(r.free[:], r.unused) {
		for _, i := range free {
			users[i]++
		}
	}
	for i, n := range users[1:] {
		c.require(n == 1, "ring %d has %d owners", i+1, n)
	}
}

func (c *checker) listeners() {
	t, live := c.t, 0
	for i := range t.listeners {
		l := &t.listeners[i]
		if !l.live {
			continue
		}
		live++
		fast := 0
		for k := range t.conns.next {
			if conn := t.conn(k); conn.live && conn.state == SynReceived && conn.fast&fastPassive != 0 && conn.listener == ListenerID(i) {
				fast++
			}
		}
		c.require(fast == l.fastOpens, "listener %d: %d connections opened with data, counted %d", i, fast, l.fastOpens)
		id, ok := t.bound[l.at]
		c.require(ok && int(id) == i, "listener %d is not bound to %v", i, l.at)
		for k := range l.accepted.n {
			slot := l.accepted.ring[(l.accepted.head+k)&(len(l.accepted.ring)-1)]
			conn := t.conn(slot)
			c.require(conn.live && conn.pending && conn.listener == id, "listener %d: slot %d does not wait for it", i, slot)
		}
	}
	c.require(live == len(t.bound), "%d listeners, %d bound", live, len(t.bound))
}

// wheelEntries: each entry of the wheel is in the list it says, and slots that have entries are marked.
func (c *checker) wheelEntries(w *wheel, name string) {
	queued, listed := 0, 0
	for i := range uint32(len(w.entries) * slabRecords) {
		if e := w.entry(i); e.queued() {
			queued++
			c.require(e.at() > w.now, "wheel of %s: entry %d is overdue", name, i)
		}
	}
	for l := range wheelLevels {
		if w.occupied[l] == 0 && w.heads[l] == [wheelSlots]uint32{} {
			continue
		}
		for s := range wheelSlots {
			if (w.heads[l][s] != 0) != (w.occupied[l]>>s&1 != 0) {
				c.require(false, "wheel of %s: slot %d/%d is marked wrongly", name, l, s)
			}
			prev := uint32(0)
			for id := w.heads[l][s]; id != 0 && listed <= queued; id = w.entry(id - 1).next {
				e := w.entry(id - 1)
				level, slot := e.place()
				c.require(e.queued() && level == l && slot == s && e.prev == prev,
					"wheel of %s: entry %d is linked wrongly", name, id-1)
				prev = id
				listed++
			}
		}
	}
	c.require(queued == listed, "wheel of %s: %d entries, %d listed", name, queued, listed)
}

func (c *checker) conn(conn *Conn) {
	if conn.detached {
		c.ended(conn)
		return
	}
	if conn.search != 0 {
		s := c.t.searchOf(conn)
		c.require(s.low <= s.high && s.high <= s.limit && (s.size == 0 || s.low < s.size && s.size <= s.high),
			"%v: a search with %+v", &conn.flow, *s)
	}
	c.require(conn.failure == 0, "%v: failed (%v) and still found", &conn.flow, conn.Err())
	c.require(conn.state != Closed && conn.state != TimeWait, "%v: found in %v", &conn.flow, conn.state)
	c.sender(conn)
	c.flight(conn)
	c.recovery(conn)
	c.rate(conn)
	if conn.state != SynSent {
		c.receiver(conn)
	}
	c.timers(conn)
}

// ended: what is over holds nothing but what can still be read.
func (c *checker) ended(conn *Conn) {
	c.require(conn.state == Closed || conn.state == TimeWait, "%v: detached in %v", &conn.flow, conn.state)
	c.require(!conn.released || conn.pinned.has(pinFree), "%v: over, released and not freed", &conn.flow)
	c.require(conn.flight.empty(), "%v: over and keeps what it sent", &conn.flow)
	c.require(conn.snd.buf.stored == 0 || conn.pinned.has(pinWrite), "%v: over and has pages to send from", &conn.flow)
	c.require(conn.deadlines == [numTimers]Time{}, "%v: over and has timers", &conn.flow)
}

func (c *checker) sender(conn *Conn) {
	s := &conn.snd
	f := &conn.flow
	c.require(s.una.LessEq(s.nxt), "%v: una %d is right of nxt %d", f, s.una, s.nxt)
	front, end := s.una, s.nxt
	if conn.state == SynSent || conn.state == SynReceived && conn.fast&fastPassive == 0 {
		front++
		end = maxSeq(end, front)
	}
	if s.finSent {
		c.require(s.fin, "%v: FIN sent and not wanted", f)
		end--
		front = minSeq(front, end)
		c.require(s.buf.end() == end, "%v: bytes after the FIN", f)
	}
	c.require(s.buf.front == front, "%v: sent stream begins at %d, una is %d", f, s.buf.front, s.una)
	c.require(end.LessEq(s.buf.end()), "%v: nxt %d lies beyond what was written, %d", f, s.nxt, s.buf.end())
	if synchronized.has(conn.state) {
		c.require(s.fin == !sending.has(conn.state), "%v: FIN wanted %v in %v", f, s.fin, conn.state)
		c.require(s.mss > 0 && conn.cc.cwnd >= conn.cc.mss && conn.cc.cwnd <= maxCwnd, "%v: mss %d, cwnd %d", f, s.mss, conn.cc.cwnd)
	}
}

// flight: the records cover what lies between UNA and NXT, and the sums are theirs.
func (c *checker) flight(conn *Conn) {
	f := &conn.flight
	at, sum := conn.snd.una, flight{}
	for p := (place{}); f.has(p); p = f.next(p) {
		r := f.at(p)
		c.require(r.start == at && r.start.Less(r.end), "%v: flight has [%d, %d) at %d", &conn.flow, r.start, r.end, at)
		c.require(r.fate&(sacked|lost) != sacked|lost, "%v: [%d, %d) is sacked and lost", &conn.flow, r.start, r.end)
		sum.tally(r, 1)
		at = r.end
	}
	if synchronized.has(conn.state) || conn.fast&fastPassive != 0 {
		c.require(at == conn.snd.nxt, "%v: flight ends at %d, nxt is %d", &conn.flow, at, conn.snd.nxt)
	} else {
		c.require(f.empty(), "%v: a flight in %v", &conn.flow, conn.state)
	}
	c.require(sum.pipe == f.pipe && sum.sacked == f.sacked && sum.lost == f.lost && sum.again == f.again,
		"%v: pipe %d, sacked %d, lost %d, counted %d, %d, %d", &conn.flow, sum.pipe, sum.sacked, sum.lost, f.pipe, f.sacked, f.lost)
	c.blocks(conn)
}

// blocks: what they tell of their records is true, and no memory is forgotten.
func (c *checker) blocks(conn *Conn) {
	f := &conn.flight
	n := 0
	for k := range f.blocks {
		b := f.blocks[k]
		n += len(b.list)
		d := b
		d.recount()
		c.require(len(b.list) > 0 && len(b.list) <= blockRecords && b.open == d.open && b.lost == d.lost &&
			(b.stale || d.open == 0 || b.oldest == d.oldest && b.newest == d.newest), "%v: block %d of the flight says %d open, %d lost, sent %d to %d; it is %d, %d, %d to %d",
			&conn.flow, k, b.open, b.lost, b.oldest, b.newest, d.open, d.lost, d.oldest, d.newest)
	}
	room := 0
	for _, b := range f.blocks[:cap(f.blocks)] {
		room += len(b.room)
	}
	c.require(n == int(f.n) && room == int(f.room), "%v: the flight has %d records and room for %d, counted %d and %d", &conn.flow, n, room, f.n, f.room)
}

// recovery: what is kept about a repair fits to whether there is one.
func (c *checker) recovery(conn *Conn) {
	r, s, f := &conn.recovery, &conn.snd, &conn.flow
	if !synchronized.has(conn.state) {
		return
	}
	c.require(r.kind == recoverTimeout || r.forward == forwardOff, "%v: F-RTO without a time-out", f)
	c.require(r.kind == recoverNone || r.until.LessEq(s.nxt), "%v: recovers up to %d, nxt is %d", f, r.until, s.nxt)
	c.require(r.kind == recoverNone || !conn.flight.empty(), "%v: recovers and nothing is in flight", f)
	c.require(r.kind == recoverNone || !conn.tlp.out, "%v: recovers with a loss probe under way", f)
	e := &conn.ecn
	c.require(e.capable || *e == ecn{}, "%v: ECN without negotiation: %+v", f, *e)
	c.require(!e.metered || e.reduced && e.until.LessEq(s.nxt), "%v: metered for a mark up to %d, nxt is %d", f, e.until, s.nxt)
	c.require(!e.reduced || r.kind == recoverNone, "%v: reduced for a mark while recovering", f)
	c.require(conn.away >= 0 && int(conn.away) <= s.nxt.Sub(s.una), "%v: %d bytes have left the network of %d", f, conn.away, s.nxt.Sub(s.una))
}

func (c *checker) receiver(conn *Conn) {
	r, f := &conn.rcv, &conn.flow
	end := r.nxt
	if r.fin && r.finAt.Less(r.nxt) {
		end--
		c.require(end == r.finAt && len(conn.ahead) == 0, "%v: bytes after the peer's FIN", f)
	}
	c.require((r.fin && r.finAt.Less(r.nxt)) == !receiving.has(conn.state) || conn.state == SynReceived,
		"%v: %v, and the peer's FIN says otherwise", f, conn.state)
	c.require(r.buf.end() == end, "%v: received stream ends at %d, nxt is %d", f, r.buf.end(), r.nxt)
	c.require(r.nxt.LessEq(r.adv), "%v: window edge %d is left of nxt %d", f, r.adv, r.nxt)
	c.require(r.lastAck.LessEq(r.nxt), "%v: acknowledged %d, nxt is %d", f, r.lastAck, r.nxt)
	c.require(len(conn.ahead) <= maxFullRanges, "%v: %d ranges", f, len(conn.ahead))
	last := r.nxt
	for _, x := range conn.ahead {
		c.require(last.Less(x.start) && x.start.Less(x.end) && x.end.LessEq(r.adv),
			"%v: range [%d, %d) after %d, window edge %d", f, x.start, x.end, last, r.adv)
		last = x.end
		c.stored(conn, x)
	}
	c.stored(conn, span{r.buf.front, r.buf.end()})
}

// stored: the bytes x were received, so there are pages for them.
func (c *checker) stored(conn *Conn, x span) {
	ring := conn.rcv.buf.ring(&c.t.pool)
	for at := x.start; at.Less(x.end); at = (at>>pageShift + 1) << pageShift {
		c.require(*conn.rcv.buf.slot(ring, at) != 0, "%v: received bytes at %d have no page", &conn.flow, at)
	}
}

// timers: whoever waits for something is woken.
func (c *checker) timers(conn *Conn) {
	s, f := &conn.snd, &conn.flow
	d := &conn.deadlines
	earliest := Never
	for _, at := range d {
		if at != 0 {
			earliest = min(earliest, at)
		}
	}
	if earliest != Never {
		waits := c.t.wheel.has(conn.slot) || slices.Contains(c.t.due, conn.slot)
		c.require(conn.wake != 0 && conn.wake <= earliest && waits, "%v: has deadlines and is not in the wheel", f)
	}
	c.require(!conn.ackNow || conn.queued, "%v: owes an acknowledgement and has no turn", f)
	c.require(!conn.probe || conn.queued, "%v: owes a probe and has no turn", f)
	c.require(!conn.tlp.due || conn.queued, "%v: owes a loss probe and has no turn", f)
	if !synchronized.has(conn.state) {
		c.require(conn.queued || d[timerRetransmit] != 0, "%v: %v without a timer", f, conn.state)
		return
	}
	c.require(conn.flight.empty() || d[timerRetransmit] != 0, "%v: bytes in flight and no retransmission timer", f)
	c.require(d[timerPace] <= conn.release, "%v: pacing waits until %d, the release is at %d", f, d[timerPace], conn.release)
	c.require(conn.unsent() == 0 || d[timerPace] != 0 || !conn.flight.empty() || conn.queued || d[timerPersist] != 0 ||
		conn.ecn.hold, "%v: unsent bytes and nothing to wait for", f)
	c.require(!conn.ecn.hold || d[timerRetransmit] != 0, "%v: held for ever", f)
	c.require(!s.fin || s.finSent || conn.queued || conn.unsent() > 0 || d[timerPace] != 0 || d[timerPersist] != 0 ||
		!conn.flight.empty(), "%v: the FIN is forgotten", f)
	c.require(conn.rcv.lastAck == conn.rcv.nxt || conn.ackNow || d[timerDelayedAck] != 0, "%v: nothing will acknowledge what was received", f)
	c.require(conn.state != FinWait2 || !conn.released || d[timerFinWait2] != 0, "%v: FIN-WAIT-2 for ever", f)
}
