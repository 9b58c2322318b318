package tcp

// delivery is what one acknowledgement tells about our transmissions.
type delivery struct {
	c         *Conn
	now       Time
	at        Time // when the acknowledgement was read: what round-trip times end with
	before    int  // bytes in flight before it
	away      int  // and of them those that duplicate acknowledgements had taken off
	acked     int  // bytes newly acknowledged, cumulatively
	sacked    int  // bytes newly sacked
	fresh     int  // bytes newly acknowledged in either way
	duplicate bool
	overtaken bool // the acknowledgement is an old one
	dsack     span // received twice (RFC 2883)
	hasDSACK  bool

	latest     sent // the one sent last of what is delivered now
	highest    Seq  // end of what is delivered
	any        bool
	newest     Time // latest transmission that is now delivered and was sent once: the round-trip time
	hasRTT     bool
	late       Time   // the same of what may have waited behind a hole; 0: none
	ecr        uint32 // timestamp echoed
	hasECR     bool
	cumulative bool // the records noted are covered by the ACK field
	again      bool // of them, something was sent again
	original   bool // something is delivered that was sent once, before the recovery began
	reordered  bool // something that was sent once is delivered after what was sent later
	probeTwice bool // the DSACK is of the loss probe
	rate       rateSample
}

// begin is called with a d that knows nothing yet, before the acknowledgement changes anything.
func (d *delivery) begin(c *Conn, now, at Time) {
	d.c, d.now, d.at = c, now, at
	d.before, d.away, d.highest = c.flight.pipe, int(c.away), c.snd.una
}

// note takes a record that is delivered now.
func (d *delivery) note(s *sent) {
	d.fresh += s.len()
	d.c.rate.delivered += uint32(s.len())
	d.c.rate.at = d.now.micros()
	if s.fate&retransmitted != 0 {
		d.again = d.again || d.cumulative
		if d.early(s) {
			return
		}
	} else {
		if !d.hasRTT || d.newest < s.at {
			d.newest, d.hasRTT = s.at, true // Karn: only what was sent once measures (RFC 6298, section 3)
		}
		d.original = d.original || s.end.LessEq(d.c.recovery.until)
		d.reordered = d.reordered || s.end.Less(d.c.rack.fack)
	}
	d.highest = maxSeq(d.highest, s.end)
	if !d.any || d.latest.at < s.at || d.latest.at == s.at && d.latest.end.Less(s.end) {
		d.latest, d.any = *s, true
	}
}

// acknowledge takes what the ACK field covers. When something of it was sent again, the rest measures nothing: the peer may
// have kept it for long, behind the hole.
func (d *delivery) acknowledge(una Seq) {
	newest, hasRTT := d.newest, d.hasRTT
	d.cumulative = true
	d.c.flight.ack(una, d.note)
	if d.again {
		if d.hasRTT {
			d.late = d.newest
		}
		d.newest, d.hasRTT = newest, hasRTT
	}
}

// early: it is the original that has arrived, not the retransmission: the echoed timestamp is older, or no round trip is as
// short (RFC 8985, section 6.2, step 2). What is sacked does not move the timestamp that the peer echoes (RFC 7323, section
// 4.3).
func (d *delivery) early(s *sent) bool {
	if d.cumulative && d.hasECR && int32(d.ecr-d.c.tsNow(s.at)) < 0 {
		return true
	}
	return d.at.Sub(s.at) < d.c.rtt.min
}

// growth puts what congestion control sees of it into a.
func (d *delivery) growth(a *acknowledged) {
	c := d.c
	a.bytes, a.flight, a.una, a.nxt = d.progress(), d.before, c.snd.una, c.snd.nxt
	a.rtt, a.sample = c.rtt.last, 0
	if d.hasRTT {
		a.sample = c.rtt.last
	}
	a.delivered, a.inflight, a.trip, a.sack, a.rate, a.sampler = d.fresh, c.inflight(), c.trip(), c.sack, d.rate, &c.rate
}

// progress returns the bytes for which the window grows: those acknowledged cumulatively that had not been sacked before. Where
// packets overtake each other most are sacked before, and a window that grew for the rest only would hardly grow: there all that
// is delivered counts, once, in whatever order it comes (as in Linux).
func (d *delivery) progress() int {
	if d.c.reorder.seen {
		return d.fresh
	}
	return min(d.acked, d.fresh)
}

// delivered is DeliveredData of RFC 9937: without SACK a segment for each duplicate, and what an acknowledgement covers beyond
// those.
func (d *delivery) delivered(c *Conn) int {
	switch {
	case c.sack:
		return d.fresh
	case d.duplicate:
		return int(c.snd.mss)
	}
	return max(d.acked-d.away, 0)
}
