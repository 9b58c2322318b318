package tcp

// Delayed acknowledgements, as in Linux: at least every second full segment is acknowledged, at the end of the batch, less
// after a short delay (RFC 9293, section 3.8.6.3, SHLD-18, SHLD-19, MUST-58, MUST-59; RFC 5681, section 4.2). While a sender needs
// every acknowledgement, at the begin, after a pause and after disorder, none is delayed (quick phases), unless the session
// is interactive: then our data takes them along.

const (
	maxQuick   = 16               // acknowledgements of a quick phase, as in Linux
	delayedAck = 40 * Millisecond // as Linux; MUST-59 allows 500 ms
)

// dataArrived takes notice of a segment with data in the window, before it is kept.
func (c *Conn) dataArrived(now Time, s *segment) {
	r := &c.rcv
	c.stats.dataIn += uint32(s.count())
	if pause := now.Sub(r.dataAt); r.dataAt == 0 || pause > minRTO && pause > c.rtt.rto() {
		c.quicken()
	}
	r.dataAt = now
	// Two segments of the same size in a row are full ones: the peer has learned of a narrower path. Ends of what it wrote
	// are not.
	unit := uint16(min(s.unit, 65535))
	if unit > r.mss || unit == r.size && unit >= minFullSegment && !s.flags.has(PSH) {
		r.mss = unit
	}
	r.size = unit
	if unit >= r.mss && c.timestamps && s.opts.hasTimestamps && s.opts.tsEcr != 0 {
		c.measureAsReceiver(now, s.opts.tsEcr)
	}
}

// measureAsReceiver measures the round trip of who only receives: the peer's data echoes the timestamp of our latest
// acknowledgement (as Linux, tcp_rcv_rtt_measure_ts). What the peer waited for its application makes some of them too long, never
// too short; the shortest counts.
func (c *Conn) measureAsReceiver(now Time, echo uint32) {
	if ms := c.tsNow(now) - echo; ms < 1<<16 {
		ms := max(uint16(ms), 1)
		if r := &c.rcv; r.trip == 0 || ms < r.trip {
			r.trip = ms
		}
	}
}

// minFullSegment: smaller ones are taken for full only when nothing larger was seen.
const minFullSegment = 512

// quicken begins a quick phase; it ends after half a window.
func (c *Conn) quicken() {
	n := c.rcv.adv.Sub(c.rcv.nxt) / (2 * int(c.rcv.mss))
	c.rcv.quick = max(c.rcv.quick, uint8(min(max(n, 2), maxQuick)))
}

// ackAtOnce acknowledges disorder: "A TCP receiver SHOULD send an immediate duplicate ACK when an out-of-order segment
// arrives" (RFC 5681, section 4.2). What follows is acknowledged quickly, as the sender's window is small now.
func (t *Table) ackAtOnce(c *Conn) {
	c.quicken()
	c.rcv.interactive = false
	c.ackNow = true
	t.want(c)
}

// scheduleAck decides when data that arrived in order is acknowledged.
func (t *Table) scheduleAck(now Time, c *Conn) {
	r := &c.rcv
	if r.nxt.Sub(r.lastAck) >= 2*int(r.mss) || r.quick > 0 && !r.interactive {
		c.ackNow = true
		t.want(c)
	} else if at := now.Add(delayedAck); c.deadlines[timerDelayedAck] == 0 || c.deadlines[timerDelayedAck] > at {
		t.setTimer(c, timerDelayedAck, at)
	}
}

// answers: data that leaves now would have taken along the acknowledgement of what came last.
func (c *Conn) answers(now Time) bool { return c.rcv.dataAt != 0 && now.Sub(c.rcv.dataAt) < delayedAck }
