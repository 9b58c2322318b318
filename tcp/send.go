package tcp

import "tcpd/ip"

// maxSuper is the longest packet that every link carries; the segments of a super-packet share its one header.
const maxSuper = 65535

// longestUnit is what sender.longest counts in.
const longestUnit = 8

// emit decides what c sends next and builds it; false: nothing.
func (t *Table) emit(now Time, c *Conn, out *ip.Outgoing) bool {
	switch {
	case c.detached:
		return false
	case c.opening():
		return t.emitSyn(now, c, out)
	case c.tlp.due && t.emitProbe(now, c, out):
		return true
	}
	c.stopTimer(timerPace)
	if c.search != 0 || len(t.paths.mtu) != 0 || int(c.pathMTU) < t.cfg.MTU {
		t.followPath(now, c)
		if c.search != 0 && t.emitMTUProbe(now, c, out) {
			return true
		}
	}
	if c.snd.longest == 0 && c.unsent() > maxSuper {
		t.askLongest(c)
	}
	if p, ok := c.flight.firstLost(); ok && c.mayRetransmit(now, c.flight.at(p).len()) {
		if c.release <= now {
			t.emitLost(now, c, p, out)
			return true
		}
		t.hold(c)
	} else if n, fin := c.sendable(now); n > 0 || fin {
		if c.release <= now {
			t.emitNew(now, c, n, fin, int(c.segmentPayload()), 0, out)
			return true
		}
		t.hold(c)
	}
	t.noteLimit(now, c)
	t.armCork(now, c)
	t.armPersist(now, c)
	if c.probe {
		c.probe = false
		t.emitControl(now, c, c.snd.una-1, out)
		return true
	}
	if c.ackNow {
		t.emitControl(now, c, c.snd.acceptable(), out)
		return true
	}
	return false
}

// spent: all that c has to send has left.
func (c *Conn) spent() bool {
	return !c.ackNow && !c.probe && !c.tlp.due && c.flight.lost == 0 && c.search == 0 && c.snd.fin == c.snd.finSent &&
		c.unsent() == 0 && synchronized.has(c.state)
}

// mayRetransmit: a lost stretch of n bytes leaves when the congestion window has room, and one segment in any case when nothing
// is under way or a recovery has just begun. Where F-RTO wants new data to go first, it goes first if it can.
func (c *Conn) mayRetransmit(now Time, n int) bool {
	if c.recovery.forward == forwardNew {
		if n, _ := c.sendable(now); n > 0 || c.snd.nxt != c.recovery.until {
			return false
		}
		c.recovery.forward = forwardOff
	}
	return c.cwndRoom() >= min(n, int(c.snd.mss)) || c.flight.pipe == 0 || c.recovery.first
}

// windowRoom returns how far the peer's window reaches beyond SND.NXT; a window that shrank gives a negative number.
func (s *sender) windowRoom() int { return s.una.Add(int(s.wnd)).Sub(s.nxt) }

// acceptable is the number of a segment without data: SND.NXT, or the edge of a window that shrank by more than its scale may have
// rounded it (as Linux, tcp_acceptable_seq). The peer takes nothing that lies beyond.
func (s *sender) acceptable() Seq {
	if s.windowRoom() > -(1 << s.scale) {
		return s.nxt
	}
	return s.una.Add(int(s.wnd))
}

// sendable decides how much new data leaves now: the sender's silly-window avoidance (RFC 9293, section 3.8.6.2.1) and
// Nagle's algorithm (section 3.7.4) in Minshall's form.
func (c *Conn) sendable(now Time) (n int, fin bool) {
	unsent := c.unsent()
	fin = c.finWaits()
	if unsent == 0 {
		// A FIN takes a number, which has to lie in the window like any other: a peer whose window is closed would not take it,
		// and when the window opens it would be sent again only after a time-out. So it waits, as in Linux.
		return 0, fin && c.snd.windowRoom() > 0
	}
	if c.ecn.hold {
		return 0, false
	}
	if c.flight.empty() && c.snd.windowRoom() > 0 {
		c.restart(now)
	}
	mss := int(c.segmentPayload())
	room, window := c.cwndRoom(), c.snd.windowRoom()
	if c.flight.pipe == 0 {
		room = max(room, mss)
	}
	room = c.forwardRoom(room)
	n = min(unsent, room, window)
	if n > mss {
		n = min(n, c.quantum(mss))
	}
	if n <= 0 {
		c.cc.limited = c.cc.limited || room <= 0
		return 0, false
	}
	full := whole(n, mss)
	switch {
	case n == full:
	case n == unsent: // the end of what was written
		if !fin && !c.force && (c.corked || c.goesOn() || c.more && full >= 2*mss || !c.opts.NoDelay && c.snd.una.Less(c.snd.small)) {
			n = full // it may become more, or a small segment is under way already
		}
	case n == window && full == 0 && (c.force || n >= int(c.snd.maxWnd)/2):
	default:
		c.cc.limited = c.cc.limited || n == room
		n = full
	}
	if c.force && n == 0 && window > 0 {
		n = min(unsent, window, mss)
	}
	return n, fin && n == unsent && n < window
}

// restart lets congestion control know that sending begins again.
func (c *Conn) restart(now Time) {
	idle, rto := now.Sub(c.lastSent), c.rtt.rto()
	c.cc.control().restart(now, &c.cc, idle, rto)
	if idle > rto {
		c.lastSent = now // once
	}
}

// finWaits: the FIN is to be sent and has not been.
func (c *Conn) finWaits() bool { return c.snd.fin && !c.snd.finSent && synchronized.has(c.state) }

// segmentPayload is the payload of a full segment that leaves now: SACK blocks take their room only while there are any.
func (c *Conn) segmentPayload() uint16 {
	if c.sack && (len(c.ahead) > 0 || c.dsack.start != c.dsack.end) {
		w := optionWriter{}
		if c.timestamps {
			w.n = timestampsLen
		}
		var blocks [maxSACKBlocks]span
		if k := len(c.sackBlocks(blocks[:], w.sackRoom())); k > 0 {
			return c.snd.mss - uint16(4+8*k)
		}
	}
	return c.snd.mss
}

// superPayload is the payload of the longest super-packet of segments of mss. Urgent data travels in segments of its own: the
// pointer is from each one's own number.
func (c *Conn) superPayload(mss int) int {
	if c.urgent {
		return mss
	}
	return max(whole(max(int(c.snd.longest)*longestUnit, maxSuper)-ip.MaxHeaderLen-maxHeaderLen, mss), mss)
}

// askLongest asks the link how long super-packets to the peer may be, once there is as much to send.
func (t *Table) askLongest(c *Conn) {
	n := maxSuper
	if t.cfg.Longest != nil {
		n = min(max(t.cfg.Longest(c.flow.Remote), maxSuper), longestUnit<<16-longestUnit)
	}
	if c.snd.longest = uint16(n / longestUnit); n > maxSuper {
		t.turn.worth = max(t.turn.worth, n)
	}
}

// whole returns how many of n bytes fill segments of mss. Most are one segment or less, and dividing takes as long as a copy of it.
func whole(n, mss int) int {
	switch {
	case n < mss:
		return 0
	case n < 2*mss:
		return mss
	}
	return int(uint32(n) / uint32(mss) * uint32(mss))
}

// segments returns how many segments of mss n bytes take.
func segments(n, mss int) int {
	if n <= mss {
		return min(n, 1)
	}
	return int((uint32(n) + uint32(mss) - 1) / uint32(mss))
}

// writeOptions puts the options of a segment on a synchronized connection into t.options.
func (t *Table) writeOptions(now Time, c *Conn) {
	w := &t.options
	w.n = 0
	if c.timestamps {
		w.timestamps(c.tsNow(now), c.tsRecent)
	}
	if c.sack && (len(c.ahead) > 0 || c.dsack.start != c.dsack.end) {
		var room [maxSACKBlocks]span
		blocks := c.sackBlocks(room[:], w.sackRoom())
		w.sack(blocks)
		c.dsack = span{}
		if c.news > 0 {
			c.reported(blocks)
		}
	}
}

// acknowledged: a segment that leaves carries the acknowledgement with it.
func (c *Conn) acknowledged() {
	if c.rcv.quick > 0 && (c.ackNow || c.rcv.lastAck != c.rcv.nxt) {
		c.rcv.quick--
	}
	c.ackNow = c.news > 0 && len(c.ahead) > 0
	c.rcv.lastAck = c.rcv.nxt
	c.stopTimer(timerDelayedAck)
}

// emitNew sends n bytes from SND.NXT on in segments of mss, and the FIN.
func (t *Table) emitNew(now Time, c *Conn, n int, fin bool, mss int, as fate, out *ip.Outgoing) {
	x := span{c.snd.nxt, c.snd.nxt.Add(n)}
	t.transmit(now, c, x, fin, true, mss, out)
	if n != whole(n, mss) {
		c.snd.small = x.end
	}
	if fin {
		x.end++
		c.snd.finSent = true
	}
	c.snd.nxt = x.end
	s := c.flight.push(x, now, as)
	c.rate.mark(now, s, x.len(), c.inflight())
	c.pace(now, n)
	c.prr.out += n
	c.force = false
	c.rcv.interactive = c.rcv.interactive || c.answers(now)
	c.stats.bytesSent += uint64(n)
	c.stopTimer(timerPersist)
	if c.deadlines[timerRetransmit] == 0 {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto())) // RFC 6298, (5.1)
	}
	t.armProbe(now, c)
}

// emitLost sends the first lost stretch again, as much of it as a super-packet takes.
func (t *Table) emitLost(now Time, c *Conn, p place, out *ip.Outgoing) {
	s := c.flight.at(p)
	mss := int(c.segmentPayload())
	room := max(c.cwndRoom()/mss*mss, mss)
	x := span{s.start, s.end}
	if most := min(room, c.quantum(mss)); x.len() > most {
		x.end = x.start.Add(most)
	}
	c.recovery.first = false
	t.resend(now, c, p, x, out)
}

// resend sends x, the beginning of the record of the flight at p, again.
func (t *Table) resend(now Time, c *Conn, p place, x span, out *ip.Outgoing) {
	mss := int(c.segmentPayload())
	fin := c.snd.finSent && x.end == c.snd.nxt
	data := x
	if fin {
		data.end--
	}
	s := c.flight.resent(p, x, now)
	c.rate.mark(now, s, x.len(), c.inflight())
	c.pace(now, data.len())
	c.prr.out += data.len()
	c.undo.resent(now, c, x.len())
	t.transmit(now, c, data, fin, false, mss, out)
	again := segments(x.len(), mss)
	c.stats.retransmits += uint32(again)
	c.stats.bytesRetransmitted += uint64(data.len())
	t.counters.Retransmits += uint64(again)
	if c.deadlines[timerRetransmit] == 0 {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto()))
	}
}

// stopsAt reports whether the peer's window stops what goes on at end: the segment before it has PSH, as the one with which
// what was written ends. "MUST set the PSH bit in the last buffered segment (i.e., when there is no more queued data to be
// sent)" (RFC 9293, section 3.9.1.2, MUST-61); and a receiver that hands on what it has only at a PSH would never open the
// window (MUST-60). Linux has it at every half of the largest window (forced push), with the same effect.
func (s *sender) stopsAt(end Seq) bool { return s.una.Add(int(s.wnd)).Sub(end) < int(s.mss) }

// transmit builds a segment, or super-packet, of the data x. fresh: it is sent for the first time.
func (t *Table) transmit(now Time, c *Conn, x span, fin, fresh bool, mss int, out *ip.Outgoing) {
	flags, tos := ACK|c.ecnReply(), c.opts.TrafficClass
	if fresh && x.len() > 0 {
		f, mark := c.ecnData()
		flags |= f
		tos |= mark
	}
	if x.len() > 0 && (x.end == c.snd.buf.end() || fresh && c.snd.stopsAt(x.end)) {
		flags |= PSH
	}
	if fin {
		flags |= FIN
	}
	t.writeOptions(now, c)
	t.payload = c.snd.buf.slices(&t.pool, x.start, x.len(), t.payload[:0])
	h := header{
		flow: &c.flow, seq: x.start, ack: c.rcv.nxt, flags: flags, window: c.advertise(), options: t.options.bytes(),
		tos: tos, ttl: c.opts.TTL,
	}
	c.mark(&h)
	t.build(&h, t.payload, mss, out)
	if t.recorders.most != 0 {
		t.recordOut(now, c, &h, x.len(), x.start.Less(c.snd.nxt))
	}
	c.acknowledged()
	c.lastSent = now
	n := segments(x.len(), mss)
	c.stats.dataOut += uint32(n)
	c.stats.segmentsOut += uint64(max(n, 1))
}

// emitControl sends a segment without data: an acknowledgement, or a probe when seq lies before SND.UNA.
func (t *Table) emitControl(now Time, c *Conn, seq Seq, out *ip.Outgoing) {
	t.writeOptions(now, c)
	h := header{
		flow: &c.flow, seq: seq, ack: c.rcv.nxt, flags: ACK | c.ecnReply(), window: c.advertise(), options: t.options.bytes(),
		tos: c.opts.TrafficClass, ttl: c.opts.TTL,
	}
	c.mark(&h)
	t.build(&h, nil, 0, out)
	if t.recorders.most != 0 {
		t.recordOut(now, c, &h, 0, false)
	}
	if seq != c.snd.una-1 { // what lies before RCV.NXT need not be believed, as Linux does not
		c.acknowledged()
	}
	c.stats.segmentsOut++
}

// emitSyn sends the SYN of an active open, or its SYN-ACK after the peer's SYN crossed it.
func (t *Table) emitSyn(now Time, c *Conn, out *ip.Outgoing) bool {
	if !c.synDue {
		if c.state == SynReceived && c.ackNow {
			t.emitControl(now, c, c.snd.nxt, out)
			return true
		}
		return false
	}
	flags := SYN | ACK
	first := c.state == SynSent
	switch {
	case first:
		flags = SYN | c.askECN()
	case c.ecn.capable:
		flags |= ECE
	}
	w := &t.options
	w.n = 0
	w.mss(t.ourMSS(&c.flow))
	if first || c.rcv.scale != 0 || c.snd.scale != 0 {
		w.windowScale(windowScale(int(c.rcv.max)))
	}
	switch sack, stamped := first || c.sack, first || c.timestamps; {
	case sack && stamped:
		w.sackAndTimestamps(c.tsNow(now), c.tsRecent)
	case sack:
		w.sackPermitted()
	case stamped:
		w.timestamps(c.tsNow(now), c.tsRecent)
	}
	n := t.askFast(now, c)
	h := header{
		flow: &c.flow, seq: c.snd.iss, flags: flags, window: synWindow(int(c.rcv.max)), options: w.bytes(),
		tos: c.opts.TrafficClass, ttl: c.opts.TTL,
	}
	if !first {
		if c.fast&fastRenew != 0 {
			t.offerFastOpen(now, &c.flow)
			h.options = w.bytes()
		}
		h.ack, h.window = c.rcv.nxt, uint16(min(c.rcv.adv.Sub(c.rcv.nxt), 65535))
		c.acknowledged()
	}
	t.payload = c.snd.buf.slices(&t.pool, c.snd.iss+1, n, t.payload[:0])
	t.build(&h, t.payload, n, out)
	c.snd.nxt = maxSeq(c.snd.nxt, c.snd.iss.Add(1+n)) // what travelled with the first SYN may be acknowledged after the second
	c.lastSent = now
	c.synDue, c.ackNow = false, false
	c.stats.segmentsOut++
	if c.retries > 0 {
		c.stats.retransmits++
		t.counters.Retransmits++
	}
	if c.deadlines[timerRetransmit] == 0 {
		t.setTimer(c, timerRetransmit, c.patience(now))
	}
	return true
}

// armPersist starts probing when data, or the FIN, waits, nothing is under way that would bring an acknowledgement, and the
// window is what holds it back.
func (t *Table) armPersist(now Time, c *Conn) {
	if c.unsent() == 0 && !c.finWaits() || c.ecn.hold || !c.flight.empty() || c.deadlines[timerPersist] != 0 || c.deadlines[timerPace] != 0 || !synchronized.has(c.state) {
		return
	}
	t.setTimer(c, timerPersist, now.Add(c.rtt.rto()))
}
