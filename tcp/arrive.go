package tcp

import "encoding/binary"

// ports returns local and remote port of a received segment.
func ports(b []byte) (local, remote uint16) {
	return binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b)
}

// arriveConn processes a segment for a connection in the order of RFC 9293, section 3.10.7.4, a method for each step. A step
// that returns a reason ends the processing.
func (t *Table) arriveConn(now Time, c *Conn, s *segment) Drop {
	c.stats.segmentsIn += uint64(s.count())
	if c.state == SynSent {
		return t.arriveSynSent(now, c, s)
	}
	if c.state == SynReceived && c.fast&fastPassive != 0 && s.flags&(SYN|ACK|RST) == SYN && s.seq == c.rcv.irs {
		t.synAgain(c, s)
		return DropDuplicate
	}
	if c.stale(now, s) {
		return t.arriveStale(now, c, s)
	}
	if d := t.checkSequence(now, c, s); d != DropNone { // first
		return d
	}
	if s.flags.has(RST) { // second
		return t.arriveReset(now, c, s)
	}
	if s.flags.has(SYN) { // fourth; the third, security, does not exist here
		if d := t.arriveSyn(now, c, s); d != DropNone {
			return d
		}
	}
	if !s.flags.has(ACK) { // fifth
		return DropNoAck
	}
	if c.state == SynReceived {
		if d := t.finishHandshake(now, c, s); d != DropNone {
			return d
		}
	}
	if d := t.arriveAck(now, c, s); d != DropNone {
		return d
	}
	if c.detached {
		return DropNone
	}
	c.updateTimestamp(now, s)
	t.arriveUrgent(c, s)         // sixth
	d := t.arriveData(now, c, s) // seventh
	t.arriveFin(now, c, s)       // eighth
	return d
}

// stale is the test of PAWS: RFC 7323, section 5.3, R1.
func (c *Conn) stale(now Time, s *segment) bool {
	return c.timestamps && s.opts.hasTimestamps && !s.flags.has(RST) && int32(s.opts.tsVal-c.tsRecent) < 0 &&
		now.Sub(c.tsRecentAt) <= pawsIdle
}

// arriveStale answers a segment that PAWS refuses. An acknowledgement that others have overtaken is refused as well, but what
// its SACK blocks tell is no data and does not grow old: that counts. Linux does so only where SEG.ACK is SND.UNA
// (tcp_disordered_ack_check); but a hole that is filled meanwhile makes no difference to what they say.
func (t *Table) arriveStale(now Time, c *Conn, s *segment) Drop {
	if c.overtaken(s) {
		t.arriveOvertaken(now, c, s)
		return DropNone
	}
	t.answerUnacceptable(now, c, s)
	return DropPAWS
}

// overtaken tells whether s, which has an old timestamp, can be an acknowledgement that was late by no more than what would have
// made us repeat the segment. Timestamps are taken for milliseconds; with a finer clock of the peer's it counts for less long.
func (c *Conn) overtaken(s *segment) bool {
	return c.tellsOfFlight(s) && synchronized.has(c.state) && s.flags&(ACK|SYN|FIN) == ACK && len(s.payload) == 0 &&
		s.seq.LessEq(c.rcv.nxt) && c.rcv.nxt.Sub(s.seq) <= int(max(c.rcv.limit, 65535)) &&
		s.ack.LessEq(c.snd.una) && c.snd.una.Sub(s.ack) <= c.oldestAck() &&
		Duration(int32(c.tsRecent-s.opts.tsVal))*Millisecond <= c.rtt.rto()
}

// updateTimestamp is RFC 7323, section 4.3, (2): TS.Recent follows segments that cover the last acknowledgement sent. It comes
// after the check of the ACK field, so that who guesses a sequence number cannot poison TS.Recent (attack class H06). After
// 24 days TS.Recent is invalid and takes any value (section 5.5).
func (c *Conn) updateTimestamp(now Time, s *segment) {
	if !c.timestamps || !s.opts.hasTimestamps || c.rcv.lastAck.Less(s.seq) {
		return
	}
	if int32(s.opts.tsVal-c.tsRecent) >= 0 || now.Sub(c.tsRecentAt) > pawsIdle {
		c.tsRecent, c.tsRecentAt = s.opts.tsVal, now
	}
}

// checkSequence is the acceptability test of RFC 9293, section 3.4, with two allowances. A segment without room in the
// window that begins no further than its right edge still brings its ACK and window: a peer whose data fills the window
// sends its acknowledgements from there, and without them both sides would wait for ever. And what lies entirely before
// RCV.NXT is told from what lies beyond the window.
func (t *Table) checkSequence(now Time, c *Conn, s *segment) Drop {
	end := s.end()
	switch {
	case c.state == SynReceived && s.flags.has(SYN|ACK) && s.seq == c.rcv.irs:
		return DropNone // the other half of a simultaneous open
	case c.rcv.adv.Less(s.seq):
		t.answerUnacceptable(now, c, s)
		if c.rcv.adv == c.rcv.nxt && s.flags&(ACK|RST|SYN) == ACK && s.seq.Sub(c.rcv.nxt) <= int(max(c.rcv.limit, 65535)) {
			// "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept valid
			// ACKs" (section 3.10.7.4): a peer that was told of more room than we think.
			if t.arriveAck(now, c, s) == DropNone && !c.detached {
				t.arriveUrgent(c, s)
			}
		}
		return DropSequence
	case c.rcv.nxt.LessEq(s.seq):
		return DropNone // in the window, or at its edge
	case c.rcv.nxt.Less(end):
		return DropNone // begins before the window, ends in it
	}
	// An old segment: a retransmission, or a keep-alive or window probe.
	if s.flags.has(RST) || s.flags.has(SYN) {
		t.answerUnacceptable(now, c, s)
		return DropSequence
	}
	if len(s.payload) > 0 || s.flags.has(FIN) {
		t.noteDuplicate(c, span{s.seq, s.seq.Add(len(s.payload))})
	}
	t.answerUnacceptable(now, c, s)
	// Its ACK counts when it ends no earlier than where our last acknowledgement was, as in Linux: who is behind that either has not
	// seen it, and says more once he has, or is no peer. What SACK blocks tell does not grow old; see overtaken.
	switch {
	case c.rcv.lastAck.LessEq(end) && s.flags.has(ACK) && c.state != SynReceived:
		if d := t.arriveAck(now, c, s); d != DropNone {
			return d
		}
	case c.overtaken(s):
		t.arriveOvertaken(now, c, s)
	}
	return DropDuplicate
}

// answerUnacceptable: "If an incoming segment is not acceptable, an acknowledgment should be sent in reply (unless the RST
// bit is set ...)". Segments without data or FIN are answered twice a second at most: two ends that disagree must not go on
// for ever (attack class E05).
func (t *Table) answerUnacceptable(now Time, c *Conn, s *segment) {
	if s.flags.has(RST) {
		return
	}
	if (len(s.payload) > 0 || s.flags.has(FIN)) && !s.flags.has(SYN) {
		t.ackAtOnce(c)
		return
	}
	t.challenge(now, c)
}

// challenge sends an ACK that makes an honest peer prove itself (RFC 5961), at most one in half a second, give or take: a
// limit of each connection, so that it tells nothing about others (attack class E04).
func (t *Table) challenge(now Time, c *Conn) {
	if now < c.challenged {
		return
	}
	t.challenges(now, c)
	c.ackNow = true
	t.want(c)
}

// challenges books a challenge that is sent at a time.
func (t *Table) challenges(at Time, c *Conn) {
	c.challenged = at.Add(invalidInterval + Duration(t.random.below(int64(invalidInterval/8))))
	t.counters.ChallengeAcks++
}

// challengeReset challenges a RST, later if one was sent just before: who gave up while its data was lost sends one RST, and is
// silent from then on unless it is asked. Another segment may leave before that and take the challenge along: the next RST books
// no time beyond two intervals then, or forged ones would buy silence towards everybody else, keep-alives too.
func (t *Table) challengeReset(now Time, c *Conn) {
	t.challenge(now, c)
	if !c.ackNow && c.deadlines[timerDelayedAck] == 0 {
		t.setTimer(c, timerDelayedAck, c.challenged)
		t.challenges(c.challenged, c)
		c.challenged = min(c.challenged, now.Add(2*invalidInterval))
	}
}

// arriveReset: only a RST at exactly RCV.NXT resets; others in the window are challenged (RFC 5961, section 3.2).
func (t *Table) arriveReset(now Time, c *Conn, s *segment) Drop {
	if s.seq != c.rcv.nxt {
		t.challengeReset(now, c)
		return DropResetWindow
	}
	t.counters.ResetsIn++
	t.fastReset(now, c)
	switch {
	case c.state == SynReceived && c.active:
		t.fail(c, ErrRefused)
	case (c.state == Closing || c.state == LastAck) && c.snd.buf.len == 0:
		t.terminate(c, nil) // only our FIN was not acknowledged: nothing is lost
	default:
		t.fail(c, ErrReset)
	}
	return DropNone
}

// arriveSyn: a SYN on a synchronized connection is challenged whatever its sequence number (RFC 5961, section 4.2).
func (t *Table) arriveSyn(now Time, c *Conn, s *segment) Drop {
	if c.state == SynReceived && s.seq == c.rcv.irs && s.flags.has(ACK) {
		return DropNone
	}
	t.challenge(now, c)
	return DropSyn
}

// finishHandshake: ACK in SYN-RECEIVED, after a simultaneous open (RFC 9293, section 3.10.7.4, fifth).
func (t *Table) finishHandshake(now Time, c *Conn, s *segment) Drop {
	if c.fast&fastPassive != 0 {
		return t.finishFast(now, c, s)
	}
	if !c.snd.una.Less(s.ack) || !s.ack.LessEq(c.snd.nxt) {
		t.reset(now, &c.flow, s)
		return DropHandshakeAck
	}
	c.snd.wl1, c.snd.wl2 = s.seq, s.ack // whatever the SYN had: this segment's window counts
	if s.flags.has(SYN) {
		if !s.grantsECN() {
			c.ecn = ecn{}
		}
		// The peer's SYN-ACK may have come before ours has left; once established we send none.
		c.ackNow = true
	}
	t.synAcked(now, c, s)
	return DropNone
}

// arriveSynSent is RFC 9293, section 3.10.7.3.
func (t *Table) arriveSynSent(now Time, c *Conn, s *segment) Drop {
	acceptable := s.flags.has(ACK) && c.snd.iss.Less(s.ack) && s.ack.LessEq(c.snd.nxt)
	switch {
	case s.flags.has(ACK) && !acceptable:
		if !s.flags.has(RST) {
			t.reset(now, &c.flow, s)
			t.hastenSyn(now, c)
		}
		return DropHandshakeAck
	case s.flags.has(RST) && !acceptable:
		return DropResetWindow
	case s.flags.has(RST):
		t.counters.ResetsIn++
		t.fail(c, ErrRefused)
		return DropNone
	case !s.flags.has(SYN):
		return DropFlags
	}
	c.heard = now
	c.tsRecent, c.tsRecentAt = s.opts.tsVal, now
	c.negotiated(&s.opts, true)
	c.peerStarts(s.seq, uint32(synWindow(int(c.rcv.max))))
	c.snd.wnd, c.snd.maxWnd, c.snd.wl1, c.snd.wl2 = uint32(s.window), uint32(s.window), s.seq, s.ack
	if !acceptable { // simultaneous open
		c.ecn = agreed(c.opts.ECN == ECNOn && s.asksECN(), c.retries > 0)
		t.setState(c, SynReceived)
		c.synDue = true // as SYN-ACK
		t.want(c)
		return DropNone
	}
	c.ecn = agreed(c.opts.ECN == ECNOn && s.grantsECN(), c.retries > 0)
	if c.retries == 0 {
		t.measureHandshake(c, c.lastSent)
	}
	t.synAcked(now, c, s)
	c.ackNow = true
	t.want(c)
	return DropNone
}

// hastenedSyn is how soon a SYN is sent again whose answer concerned an earlier connection: two ticks of Linux's clock, as there.
const hastenedSyn = 2 * Millisecond

// hastenSyn sends the first SYN again at once: the peer has answered it by a connection that we know nothing of, which our RST
// ends, and after that the SYN would be taken (as Linux; RFC 9293, section 3.5.1, waits for the time-out).
func (t *Table) hastenSyn(now Time, c *Conn) {
	soon := now.Add(hastenedSyn)
	if at := c.deadlines[timerRetransmit]; c.retries == 0 && soon < at {
		t.setTimer(c, timerRetransmit, soon)
	}
}

// synAcked: our SYN is acknowledged, the connection is established.
func (t *Table) synAcked(now Time, c *Conn, s *segment) {
	c.heard = now
	c.synDue = false
	t.startSearch(now, c)
	c.startSending(now, int(c.retries))
	t.ackSyn(c, s.ack)
	t.learnFast(now, c, s)
	c.retries, c.rtt.backoff = 0, 0
	c.stopTimer(timerRetransmit)
	t.setState(c, Established)
	if c.snd.fin {
		t.setState(c, FinWait1)
	}
	t.counters.Opened++
	if c.ecn.capable {
		t.counters.ECNNegotiated++
	}
	t.armKeepAlive(c)
	t.signal(c, EventConnected)
	t.want(c)
}

func (t *Table) armKeepAlive(c *Conn) {
	if c.opts.KeepAlive.Enabled {
		t.setTimer(c, timerKeepAlive, c.heard.Add(c.opts.KeepAlive.Idle))
	}
}
