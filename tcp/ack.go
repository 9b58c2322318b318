package tcp

// oldestAck returns how far before SND.UNA an ACK may lie: MAX.SND.WND, and no further than what was ever acknowledged. The
// peer cannot mean numbers from before our first, and who guesses has that much less to hit (as in Linux).
func (c *Conn) oldestAck() int {
	sent := c.stats.bytesAcked
	if c.snd.finSent {
		sent++
	}
	return int(min(uint64(c.snd.maxWnd), sent))
}

// arriveAck processes the ACK field, the window and SACK blocks: RFC 9293, section 3.10.7.4, fifth; RFC 2018.
func (t *Table) arriveAck(now Time, c *Conn, s *segment) Drop {
	// "The ACK value is considered acceptable only if it is in the range of ((SND.UNA - MAX.SND.WND) =< SEG.ACK =<
	// SND.NXT)." (RFC 5961, section 5.2)
	if c.snd.nxt.Less(s.ack) || s.ack.Add(c.oldestAck()).Less(c.snd.una) {
		t.challenge(now, c)
		return DropAckRange
	}
	c.heard, c.keepProbes = now, 0
	if s.ack.Less(c.snd.una) {
		t.arriveOvertaken(now, c, s)
		return DropNone
	}
	t.checkDry(now, c)
	windowMoved := t.updateWindow(now, c, s)
	if c.busy == &t.idle && s.ack == c.snd.una && s.opts.nsacks == 0 && c.search == 0 && !c.ecn.ect {
		t.goOn(now, c)
		return DropNone // nothing is under way that it could tell of
	}
	var d delivery
	d.begin(c, now, t.arrived)
	d.ecr, d.hasECR = s.opts.tsEcr, c.timestamps && s.opts.hasTimestamps && s.opts.tsEcr != 0
	if c.sack && s.opts.nsacks > 0 {
		t.takeSacks(c, s, &d)
	}
	progress := s.ack != c.snd.una
	if progress {
		t.advanceUna(now, c, s, &d)
	} else if len(s.payload) == 0 && !windowMoved && !s.flags.has(FIN) && !c.flight.empty() {
		d.duplicate = s.opts.nsacks == 0
		t.duplicateAck(c)
	}
	t.measure(c, s, &d)
	if !progress && c.repairUnderWay(&d) {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto()))
	}
	c.sampleRate(&d)
	t.respond(now, c, s, &d)
	if progress || d.sacked > 0 {
		t.armProbe(now, c)
	}
	if progress {
		t.finAcked(now, c)
	}
	if !c.detached {
		t.goOn(now, c)
	}
	return DropNone
}

// tellsOfFlight: s has SACK blocks that count, and something is under way that they can name.
func (c *Conn) tellsOfFlight(s *segment) bool {
	return c.sack && s.opts.nsacks > 0 && !c.flight.empty()
}

// arriveOvertaken takes an old acknowledgement, which a later one has overtaken. Its window and marks are history; but one of
// its SACK blocks may be all that ever says of a range that it has arrived, or arrived twice (as in Linux).
func (t *Table) arriveOvertaken(now Time, c *Conn, s *segment) {
	if !c.tellsOfFlight(s) {
		return
	}
	t.checkDry(now, c)
	d := delivery{overtaken: true}
	d.begin(c, now, t.arrived)
	t.takeSacks(c, s, &d)
	d.hasRTT = false // it was late
	c.sampleRate(&d)
	t.respond(now, c, s, &d)
	t.goOn(now, c)
}

// repairUnderWay tells whether the first segment was sent again after what arrives now: its acknowledgement cannot be here yet.
// Where a queue grows, a time-out after SND.UNA last moved ends before it comes, and all the flight would be sent again. "...
// a more careful variant that re-arms the RTO timer on each retransmission that is sent during recovery MAY be used" (RFC
// 6675, section 6); as Linux, we do so when something proves that the path still delivers what was sent before.
func (c *Conn) repairUnderWay(d *delivery) bool {
	return c.recovery.kind == recoverFast && d.hasRTT && d.newest < c.flight.first().at
}

// updateWindow takes the send window: RFC 9293, section 3.10.7.4. It returns whether the window is another than before.
func (t *Table) updateWindow(now Time, c *Conn, s *segment) bool {
	// An ACK of something new counts with an old sequence number too, as in Linux: SND.UNA moves with it, and the old window
	// would reach beyond what the peer has ever offered.
	if !c.snd.una.Less(s.ack) && !c.snd.wl1.Less(s.seq) && !(c.snd.wl1 == s.seq && c.snd.wl2.LessEq(s.ack)) {
		return false
	}
	wnd := uint32(s.window)
	if !s.flags.has(SYN) { // "The window field in a segment where the SYN bit is set ... MUST NOT be scaled" (RFC 7323, 2.2)
		wnd <<= c.snd.scale
	}
	moved, before := wnd != c.snd.wnd, c.snd.windowRoom()
	c.snd.wnd, c.snd.wl1, c.snd.wl2 = wnd, s.seq, s.ack
	c.snd.maxWnd = max(c.snd.maxWnd, wnd)
	room := c.snd.windowRoom()
	if c.deadlines[timerPersist] != 0 && c.flight.empty() || room < 0 {
		// The peer lives: a closed window may stay closed for as long as it answers (RFC 9293, section 3.8.6.1), and so may
		// one that shrank ("SHOULD NOT time out the connection", SHLD-17). What is in flight is another matter; a cork can
		// have set the timer.
		c.retries = 0
	}
	if c.deadlines[timerPersist] != 0 && (before <= 0 && room > 0 || room >= int(c.snd.mss) && !c.corked) {
		c.stopTimer(timerPersist)
		c.rtt.backoff = 0
	}
	return moved
}

// takeSacks marks what the peer holds. Blocks that cannot be are ignored (attack class E07).
func (t *Table) takeSacks(c *Conn, s *segment, d *delivery) {
	for i, b := range s.opts.sacks[:s.opts.nsacks] {
		if !b.start.Less(b.end) || c.snd.nxt.Less(b.end) {
			t.counters.BadSACKs++
			continue
		}
		if i == 0 && isDSACK(s) {
			d.dsack, d.hasDSACK = b, true
			d.probeTwice = c.tlp.out && c.tlp.again && c.tlp.end-b.end <= 1 // a FIN at the end may be counted or not
			c.stats.dsacks++
			continue
		}
		if b.start.Less(s.ack) {
			continue
		}
		d.sacked += c.flight.sack(b, d.note)
	}
}

// isDSACK: the first block reports a duplicate when the ACK field covers it, or the second block does (RFC 2883, section 5).
func isDSACK(s *segment) bool {
	b := s.opts.sacks[:s.opts.nsacks]
	return b[0].end.LessEq(s.ack) || len(b) > 1 && b[1].start.LessEq(b[0].start) && b[0].end.LessEq(b[1].end)
}

// advanceUna takes a cumulative acknowledgement of something new.
func (t *Table) advanceUna(now Time, c *Conn, s *segment, d *delivery) {
	d.acked = s.ack.Sub(c.snd.una)
	d.acknowledge(s.ack)
	data := d.acked
	if c.snd.finSent && s.ack == c.snd.nxt {
		data--
	}
	c.snd.buf.advance(&t.pool, data)
	c.snd.buf.trim(&t.pool, c.pinned.has(pinWrite))
	c.snd.una = s.ack
	if c.urgent {
		c.urgent = s.ack.Less(c.sndUp)
	}
	c.snd.small = maxSeq(c.snd.small, s.ack) // never left behind by half the circle
	c.snd.dupAcks = 0
	// The first segment acknowledged is the one that was missing, the others had left the network before.
	c.away = int32(min(max(int(c.away)-max(d.acked-int(c.snd.mss), 0), 0), c.snd.nxt.Sub(c.snd.una)))
	if c.recovery.kind == recoverNone {
		c.away = 0
		c.recovery.until = maxSeq(c.recovery.until, s.ack-1) // never left behind by half the circle
	}
	c.retries, c.rtt.backoff, c.soft = 0, 0, 0
	c.stats.bytesAcked += uint64(data)
	if c.flight.empty() {
		c.stopTimer(timerRetransmit) // RFC 6298, (5.2)
		c.stopTimer(timerReorder)
		c.stopTimer(timerProbe)
	} else {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto())) // (5.3)
	}
}

// measure takes a sample of the round-trip time: from our own record of transmissions, and from the timestamp when all that
// is delivered now was sent more than once (RFC 7323, section 4).
func (t *Table) measure(c *Conn, s *segment, d *delivery) {
	switch {
	case d.hasRTT && d.at < d.newest:
		d.hasRTT = false // it was read before that was sent, with others: nobody knows when it came
	case d.hasRTT:
		c.rtt.sample(d.at, d.at.Sub(d.newest))
	case d.acked > 0 && c.timestamps && s.opts.hasTimestamps && s.opts.tsEcr != 0:
		if ms := c.tsNow(d.at) - s.opts.tsEcr; ms < uint32(maxRTO/Millisecond) {
			c.rtt.sample(d.at, Duration(max(ms, 1))*Millisecond) // of a clock of milliseconds
		}
	}
}

// measureHandshake takes the round-trip time of a SYN, or SYN-ACK, that was sent once.
func (t *Table) measureHandshake(c *Conn, sent Time) {
	if t.arrived >= sent {
		c.rtt.sample(t.arrived, t.arrived.Sub(sent))
	}
}

// finAcked moves on when our FIN is acknowledged.
func (t *Table) finAcked(now Time, c *Conn) {
	if !c.snd.finSent || c.snd.una != c.snd.nxt {
		t.writable(c)
		return
	}
	switch c.state {
	case FinWait1:
		t.setState(c, FinWait2)
		if c.released {
			t.setTimer(c, timerFinWait2, now.Add(finWait2Timeout))
		}
	case Closing:
		t.enterTimeWait(now, c)
	case LastAck:
		t.terminate(c, nil)
	}
}
