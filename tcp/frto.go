package tcp

// forward is the state of F-RTO: after a time-out one segment is sent again, then new data, and what is acknowledged next
// tells whether the originals were only late (RFC 5682; with SACK as in Linux, after section 3.1).
type forward uint8

const (
	forwardOff   forward = iota
	forwardFirst         // the first acknowledgement after the time-out is awaited
	forwardNew           // new data may be sent, and no retransmission, until the next one
)

// forwardLimit is how much new data leaves: "up to two new (previously unsent) segments" (RFC 5682, section 2.1, step 2b).
const forwardLimit = 2

// recoverFromTimeout takes what is in flight for lost (RFC 5681, section 3.1), but for what left just now. A time-out in a fast
// recovery does not reduce ssthresh a second time for the same flight, as in Linux.
func (t *Table) recoverFromTimeout(now Time, c *Conn) {
	t.remembers(c)
	first := c.recovery.kind == recoverNone
	if first {
		c.undo.remember(c, true)
	}
	c.cc.control().timeout(now, &c.cc, first && !c.reducedForMark(), c.snd.nxt.Sub(c.snd.una))
	c.ecn.replaced()
	c.queueCWR()
	c.recovery = recovery{kind: recoverTimeout, until: c.snd.nxt}
	if first || c.retries > 1 {
		c.recovery.forward = forwardFirst
	}
	if c.search != 0 {
		t.searchOf(c).size = 0 // what a probe would have told is lost with the rest
	}
	c.flight.reneged()
	c.loseOverdue(now)
	c.cc.set(c.cc.cwnd + uint32(c.flight.pipe)) // what is still under way takes no room from the repair (as Linux, tcp_enter_loss)
	c.snd.dupAcks, c.away = 0, 0
	c.tlp = lossProbe{}
	c.stopTimer(timerReorder)
	c.stopTimer(timerProbe)
}

// forwardStep looks at an acknowledgement after a time-out and reports whether the time-out was spurious.
func (c *Conn) forwardStep(d *delivery) bool {
	r := &c.recovery
	switch {
	case r.forward == forwardOff, d.overtaken: // it was sent before what this waits for
		return false
	case d.original && (c.sack || r.forward == forwardNew && d.acked > 0):
		// "... the acknowledgment ... acknowledges data that was not retransmitted: the timeout was spurious" (section 2.1, step
		// 3b). With SACK the first acknowledgement can tell already; without, it may cover what the peer kept behind a hole.
		return true
	case r.forward == forwardFirst && d.acked > 0 && c.snd.una.Less(r.until) && c.unsent() > 0 && c.snd.windowRoom() > 0:
		r.forward, r.until = forwardNew, c.snd.nxt // step 2b
		return false
	}
	r.forward = forwardOff // steps 2a and 3a: the loss was real
	return false
}

// forwardRoom bounds the new data of step 2b.
func (c *Conn) forwardRoom(room int) int {
	if c.recovery.forward != forwardNew {
		return room
	}
	return min(room, forwardLimit*int(c.snd.mss)-c.snd.nxt.Sub(c.recovery.until))
}
