package tcp

import "unsafe"

// recorder keeps the last segments of one connection and the states it went through, for those who want to know what
// happened after it did. It is plain data in a slab of its own, so that a connection without one pays four bytes, and is
// charged to the budget as everything. It comes with the first segment of an established connection.
type recorder struct {
	owner  uint32 // slot
	n      uint32 // segments ever recorded
	events [recorderEvents]recorded
	path   [maxPath]State
	times  [maxPath]Time // when each state of path was entered, to the next segment; 0: not known
	steps  uint8
	timed  uint8 // of them, those whose time is as known as it will be
	late   bool  // the path before its first state is not known
}

const (
	recorderEvents = 64
	maxPath        = 10 // CLOSED to TIME-WAIT by the longest way of RFC 9293, figure 5, has nine
)

// RecorderSize is what a recorder takes of the budget, in bytes.
const RecorderSize = int(unsafe.Sizeof(recorder{}))

// recorded is a segment in 28 bytes. Time is in microseconds, in 48 bits.
type recorded struct {
	timeLow            uint32
	seq, ack           Seq
	sackStart, sackEnd Seq // the first block; none when equal
	timeHigh           uint16
	length             uint16 // the low bits
	window             uint16 // as in the header
	flags              Flags
	fate               uint8 // recordedOut, recordedAgain; of an arrival the reason why it was dropped, else the high bits of the length
}

const (
	recordedOut   = 1 << 7
	recordedAgain = 1 << 6
	recordedDrop  = recordedAgain - 1
)

const _ = uint(recordedDrop - NumDrops) // there is room for every reason

// recorders are those of a table. Number 0 is none; a connection's number may belong to another one's recorder by now.
type recorders struct {
	slab   slab[recorder]
	most   int // at the same time; 0: none are made
	n      int
	victim uint32 // whose turn it is to be taken away when there are as many as may be
}

// SetRecorders is an application call: it says how many connections may have a recorder at the same time, 0 for none. With as
// many, a new connection takes over one in the order in which they were made. With 0 those that exist stay as they are.
func (t *Table) SetRecorders(most int) { t.recorders.most = most }

// recorder returns that of c, made if c may have one, or nil.
func (t *Table) recorder(c *Conn) *recorder {
	if c.recorder != 0 {
		if r := t.recorders.slab.at(c.recorder - 1); r.owner == c.slot {
			return r
		}
		return nil // taken away
	}
	if t.recorders.most == 0 || !recordable.has(c.state) {
		return nil
	}
	return t.record(c)
}

// recordable states: the connection is established, or its SYN crossed the peer's.
var recordable = setOf(SynReceived, Established, FinWait1, FinWait2, CloseWait, Closing, LastAck, TimeWait)

// record gives c a recorder, a new one or that of another connection. Where memory is short c goes without.
func (t *Table) record(c *Conn) *recorder {
	a := &t.recorders
	var i uint32
	switch {
	case a.n >= a.most:
		for a.victim = (a.victim + 1) % a.slab.next; t.recorders.slab.at(a.victim).owner == noOwner; {
			a.victim = (a.victim + 1) % a.slab.next
		}
		i = a.victim
	case t.cfg.Memory.Pressure() || !t.cfg.Memory.Charge(RecorderSize):
		return nil
	default:
		i = a.slab.get()
		a.n++
	}
	r := a.slab.at(i)
	*r = recorder{owner: c.slot}
	c.recorder = i + 1
	r.begin(c)
	return r
}

// noOwner is the owner of a recorder that is not in use.
const noOwner = 1<<32 - 1

// begin writes down how c came to its present state.
func (r *recorder) begin(c *Conn) {
	switch {
	case c.state == SynReceived:
		r.step(SynSent)
	case c.state != Established:
		r.late = true
	case c.active:
		r.step(SynSent)
	default:
		r.step(Listen)
		r.step(SynReceived)
	}
	r.step(c.state)
	switch {
	case r.late:
		r.timed = r.steps
	case c.active:
		r.times[0], r.timed = c.born, 1
	default: // the record of a passive open is made when it is established
		r.times[r.steps-1], r.timed = c.born, r.steps
	}
}

func (r *recorder) step(s State) {
	if int(r.steps) < len(r.path) {
		r.path[r.steps] = s
		r.steps++
	}
}

// forget gives the recorder of c back.
func (t *Table) forget(c *Conn) {
	if c.recorder == 0 {
		return
	}
	i := c.recorder - 1
	c.recorder = 0
	if r := t.recorders.slab.at(i); r.owner == c.slot {
		r.owner = noOwner
		t.recorders.n--
		t.recorders.slab.put(i)
		t.cfg.Memory.Release(RecorderSize)
	}
}

// recordIn writes down a segment that arrived, and what became of it.
func (t *Table) recordIn(now Time, c *Conn, s *segment, d Drop) {
	r := t.recorder(c)
	if r == nil {
		return
	}
	e := r.next(now)
	e.seq, e.ack, e.flags, e.window, e.length = s.seq, s.ack, s.flags, s.window, uint16(len(s.payload))
	e.fate = uint8(d) & recordedDrop
	if s.opts.nsacks > 0 {
		e.sackStart, e.sackEnd = s.opts.sacks[0].start, s.opts.sacks[0].end
	}
}

// recordOut writes down a segment that leaves with n bytes of data; again: not for the first time.
func (t *Table) recordOut(now Time, c *Conn, h *header, n int, again bool) {
	r := t.recorder(c)
	if r == nil {
		return
	}
	e := r.next(now)
	e.seq, e.ack, e.flags, e.window, e.length = h.seq, h.ack, h.flags, h.window, uint16(n)
	e.fate = recordedOut | uint8(n>>16)&recordedDrop
	if again {
		e.fate |= recordedAgain
	}
	if len(c.ahead) > 0 {
		if x, ok := c.ahead.covering(c.recent[0]); ok {
			e.sackStart, e.sackEnd = x.start, x.end
		}
	}
}

// next returns the place of the next segment, its time set. States entered since the last one get this time as well.
func (r *recorder) next(now Time) *recorded {
	for ; r.timed < r.steps; r.timed++ {
		r.times[r.timed] = now
	}
	e := &r.events[r.n%recorderEvents]
	r.n++
	us := uint64(now) / uint64(Microsecond)
	*e = recorded{timeLow: uint32(us), timeHigh: uint16(us >> 32)}
	return e
}
