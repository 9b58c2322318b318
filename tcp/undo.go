package tcp

// undo is what a recovery or a time-out has changed, and what is known of whether it was right. When everything that was
// sent again turns out to have been sent for nothing, the congestion control state is put back (Linux does it the same way;
// RFC 4015 is more careful with the window and restores no more than slow start would give).
type undo struct {
	valid   bool
	any     bool // something was sent again
	timeout bool // the time-out began it
	over    bool // the recovery has ended; DSACKs of its retransmissions count for a round trip more
	marker  Seq  // SND.UNA at the begin
	until   Seq  // with over: SND.NXT at the end
	stamp   uint32
	bytes   int // sent again and not yet reported as received twice
	before  window
	learnt  growth // what before points to
}

// remember is called before the window is reduced.
func (u *undo) remember(c *Conn, timeout bool) {
	*u = undo{valid: true, timeout: timeout, marker: c.snd.una, before: c.cc, learnt: *c.cc.growth}
	if n, first := c.flight.repeated(); n > 0 { // a loss probe: its duplicate will be reported too
		u.any, u.bytes, u.stamp = true, n, c.tsNow(first)
	}
}

// resent counts n bytes that leave again.
func (u *undo) resent(now Time, c *Conn, n int) {
	if !u.valid || u.over {
		return
	}
	if !u.any {
		u.any, u.stamp = true, c.tsNow(now) // RetransmitTS (RFC 3522, section 3.2, step 2)
	}
	u.bytes += n
}

// spurious decides, for the acknowledgement s, whether all of it was for nothing.
func (u *undo) spurious(c *Conn, s *segment, d *delivery) bool {
	if !u.valid || !u.any {
		return false
	}
	if d.hasDSACK && u.marker.Less(d.dsack.end) {
		u.bytes -= d.dsack.len()
	}
	if u.bytes <= 0 {
		return true // each retransmission was a duplicate (RFC 3708, section 3)
	}
	// The first acknowledgement of what was sent again echoes the timestamp of the original: "If the value of the Timestamp
	// Echo Reply field ... is smaller than the value of RetransmitTS, then ... spurious" (RFC 3522, section 3.2, step 4).
	return !u.over && d.again && c.timestamps && s.opts.hasTimestamps && s.opts.tsEcr != 0 && int32(s.opts.tsEcr-u.stamp) < 0
}

// end is called when the recovery is over in the ordinary way.
func (u *undo) end(c *Conn) { u.over, u.until = true, c.snd.nxt }

// expire forgets what no acknowledgement can change any more.
func (u *undo) expire(c *Conn) {
	if u.valid && u.over && u.until.Less(c.snd.una) {
		*u = undo{}
	}
}

// takeBack ends a recovery that was not needed.
func (t *Table) takeBack(c *Conn, d *delivery) {
	u := &c.undo
	if c.cc.ssthresh < u.before.ssthresh {
		c.ecn.cwr = false // nothing is reduced any more
	}
	u.before.growth = &u.learnt
	c.cc.control().restored(&c.cc, &u.before)
	if u.timeout {
		t.counters.TimeoutsUndone++
		if d.late != 0 && !c.timestamps {
			// No hole: it was the path that was slow, and the time-out has to learn that, or the next one is spurious too (RFC
			// 4015, section 3.3). A timestamp has told already.
			c.rtt.sample(d.at, d.at.Sub(d.late))
		}
	} else {
		t.counters.RecoveriesUndone++
		c.reorder.seen = true // or it would not have been taken for lost
	}
	c.stats.undone++
	c.undo = undo{}
	if c.recovery.kind != recoverNone {
		c.flight.findAll()
		c.endRecovery()
	}
	t.want(c)
}
