package tcp

// recovery says whether, and how far, lost data is being repaired.
type recovery struct {
	until   Seq // RecoveryPoint: it ends when this is acknowledged. Kept afterwards: "recover" of RFC 6582
	kind    recoveryKind
	forward forward
	tooBig  bool // meanwhile segments were found to be too big for the path
	first   bool // one segment is sent again whatever the window says (RFC 5681, section 3.2, step 3; RFC 6582, step 3)
}

type recoveryKind uint8

const (
	recoverNone    recoveryKind = iota
	recoverFast                 // RFC 5681, section 3.2; RFC 8985; RFC 6582 without SACK
	recoverTimeout              // after a retransmission time-out
)

const dupThresh = 3

// respond lets loss detection, the undoing of what was done in vain, and congestion control see an acknowledgement.
func (t *Table) respond(now Time, c *Conn, s *segment, d *delivery) {
	t.probeAcked(now, c, s.ack, d)
	if c.search != 0 {
		t.probeArrived(c)
	}
	if c.sack {
		c.rack.update(d)
		if d.reordered {
			c.reorder.seen = true
			c.stats.reordered++
		}
		c.reorder.adapt(c, d)
	}
	if c.undo.spurious(c, s, d) || c.recovery.kind == recoverTimeout && c.forwardStep(d) && c.undo.valid && c.undo.timeout {
		t.takeBack(c, d)
	}
	more := t.findLosses(now, c, d)
	fast := c.recovery.kind == recoverFast
	over := c.recovery.kind != recoverNone && c.recovery.until.LessEq(c.snd.una)
	if over {
		again := c.lossBeyond()
		t.leaveRecovery(c)
		if again { // "loss in two successive windows of data" (RFC 5681, section 4.3)
			t.enterRecovery(now, c, d)
			over, fast = false, true
		}
	} else {
		c.undo.expire(c)
	}
	echoed := t.response(now, c, s, d) // then the window does not grow
	switch {
	case !c.cc.metered() && d.acked+d.sacked > 0, !over && !fast && !echoed && d.progress() > 0:
		d.growth(&t.acked)
		t.acked.recovering = fast
		if c.cc.grows(t.acked.flight) {
			t.remembers(c)
		}
		c.cc.control().acked(now, &c.cc, &t.acked)
		c.cc.limited = false
	case !over && fast && c.cc.metered():
		c.prr.acked(c, d.delivered(c), d.acked > 0 && !more)
	}
	if d.sacked > 0 {
		t.writable(c) // the window may have grown, and the buffer with it, though a hole keeps what is in it
	}
}

// findLosses runs the detection that fits the peer, and reports whether it found anything.
func (t *Table) findLosses(now Time, c *Conn, d *delivery) bool {
	found := false
	if c.sack {
		found = t.detectLoss(now, c)
	} else {
		found = t.detectLossByDuplicates(now, c, d)
	}
	if found {
		t.enterRecovery(now, c, d)
	}
	return found
}

// detectLossByDuplicates is fast retransmit for a peer without SACK: RFC 5681, section 3.2, and RFC 6582 for the partial
// acknowledgements that follow.
func (t *Table) detectLossByDuplicates(now Time, c *Conn, d *delivery) bool {
	f := &c.flight
	if f.empty() {
		return false
	}
	partial := c.recovery.kind == recoverFast && d.acked > 0 && c.snd.una.Less(c.recovery.until)
	// Duplicates of what was sent again before are none: "... the Cumulative Acknowledgment field covers more than recover"
	// (RFC 6582, section 3.2, step 1).
	third := c.snd.dupAcks == dupThresh && d.duplicate && c.recovery.kind == recoverNone && c.recovery.until.Less(c.snd.una)
	if !partial && !third {
		return false
	}
	if t.probeVanished(c, place{}) {
		return false
	}
	if third {
		c.leftNetwork()
	}
	f.split(place{}, c.snd.una.Add(int(c.snd.mss)))
	c.lose(now, place{})
	c.recovery.first = true
	return true
}

// duplicateAck counts duplicate acknowledgements of a peer without SACK (RFC 5681, section 2). The first two let a new segment
// each leave: limited transmit (RFC 3042, section 2).
func (t *Table) duplicateAck(c *Conn) {
	if c.sack {
		return
	}
	c.snd.dupAcks = min(c.snd.dupAcks, 254) + 1
	switch c.recovery.kind {
	case recoverNone:
		if c.snd.dupAcks < dupThresh {
			c.leftNetwork()
		}
	case recoverFast:
		if c.prr.takes(int(c.snd.mss)) {
			c.leftNetwork()
		}
	}
	t.want(c)
}

// leftNetwork counts the segment that a duplicate acknowledgement was sent for.
func (c *Conn) leftNetwork() {
	c.away = int32(min(int(c.away)+int(c.snd.mss), c.snd.nxt.Sub(c.snd.una)))
}

// enterRecovery reduces the window, once for all the losses of one flight (RFC 5681, section 3.2; RFC 6675, section 5).
func (t *Table) enterRecovery(now Time, c *Conn, d *delivery) {
	t.want(c)
	if c.recovery.kind != recoverNone {
		return
	}
	t.remembers(c)
	c.undo.remember(c, false)
	c.recovery = recovery{kind: recoverFast, until: c.snd.nxt, first: true}
	c.tlp = lossProbe{}
	c.stopTimer(timerProbe)
	if !c.reducedForMark() {
		c.cc.control().congested(now, &c.cc, c.snd.nxt.Sub(c.snd.una))
	}
	c.ecn.replaced()
	c.queueCWR()
	c.prr.begin(c, d)
	t.counters.Recoveries++
}

// leaveRecovery: what was lost is repaired.
func (t *Table) leaveRecovery(c *Conn) {
	c.cc.control().recovered(&c.cc, c.recovery.kind == recoverFast)
	c.endRecovery()
	c.undo.end(c)
	t.want(c)
}

func (c *Conn) endRecovery() {
	c.reorder.recovered()
	c.recovery = recovery{until: c.recovery.until}
	c.snd.dupAcks, c.away = 0, 0
}

// inflight is what is believed to be in the network.
func (c *Conn) inflight() int { return max(c.flight.pipe-int(c.away), 0) }

// cwndRoom returns how many bytes the congestion window lets leave now.
func (c *Conn) cwndRoom() int { return int(c.cc.cwnd) - c.inflight() }
