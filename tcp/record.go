package tcp

// Record is what the recorder of a connection holds.
type Record struct {
	Path     []Step            // the states of RFC 9293 that it went through, in order
	Late     bool              // the path before its first step is not known
	Segments []RecordedSegment // the last ones, oldest first
	Total    uint32            // ever recorded
}

// Step is a state that a connection entered.
type Step struct {
	State State
	At    Time // to the next segment; 0: not known
}

// RecordedSegment is a segment that arrived or left; a super-packet is one. Numbers are relative: SYN has number 0.
type RecordedSegment struct {
	At       Time // to a microsecond
	Sent     bool // by us
	Again    bool // sent before
	Drop     Drop // of one that arrived: why it was not taken, or not in full
	Flags    Flags
	Seq, Ack uint32
	Len      int
	Window   int    // bytes
	SACK     *Range // the first block, relative numbers; of one that was sent the first that is no duplicate (RFC 2883)
}

// Record is an application call: it returns what the recorder of c holds, and false when c has none.
func (t *Table) Record(c *Conn) (Record, bool) {
	if c.recorder == 0 {
		return Record{}, false
	}
	r := t.recorders.slab.at(c.recorder - 1)
	if r.owner != c.slot {
		return Record{}, false
	}
	out := Record{Late: r.late, Total: r.n}
	for i := range r.steps {
		out.Path = append(out.Path, Step{r.path[i], r.times[i]})
	}
	for i := r.n - min(r.n, recorderEvents); i < r.n; i++ {
		out.Segments = append(out.Segments, r.events[i%recorderEvents].describe(c))
	}
	return out, true
}

// describe puts relative numbers and scaled windows in place.
func (e *recorded) describe(c *Conn) RecordedSegment {
	us := uint64(e.timeHigh)<<32 | uint64(e.timeLow)
	s := RecordedSegment{
		At: Time(us) * Time(Microsecond), Sent: e.fate&recordedOut != 0, Flags: e.flags, Len: int(e.length), Window: int(e.window),
	}
	ours, theirs, scale := c.snd.iss, c.rcv.irs, c.rcv.scale
	if s.Sent {
		s.Again = e.fate&recordedAgain != 0
		s.Len |= int(e.fate&recordedDrop) << 16
	} else {
		s.Drop = Drop(e.fate & recordedDrop)
		ours, theirs, scale = theirs, ours, c.snd.scale
	}
	if !e.flags.has(SYN) { // whose window is never scaled
		s.Window <<= scale
	}
	s.Seq = uint32(e.seq - ours)
	if e.flags.has(ACK) {
		s.Ack = uint32(e.ack - theirs)
	}
	if e.sackStart != e.sackEnd {
		s.SACK = &Range{e.sackStart - theirs, e.sackEnd - theirs}
	}
	return s
}
