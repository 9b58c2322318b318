package tcp

import "fmt"

// ECN says whether a connection uses Explicit Congestion Notification (RFC 3168).
type ECN uint8

// The choices. The zero value is what Linux does by default.
const (
	ECNAccept ECN = iota // use it when the peer asks for it
	ECNOff               // neither ask nor agree
	ECNOn                // ask for it as well
)

func (e ECN) String() string {
	switch e {
	case ECNAccept:
		return "accept"
	case ECNOff:
		return "off"
	case ECNOn:
		return "on"
	}
	return fmt.Sprintf("ECN(%d)", uint8(e))
}

// Codepoints of the two ECN bits of the traffic class (RFC 3168, section 5).
const (
	notECT  uint8 = 0
	ect0    uint8 = 2
	ce      uint8 = 3
	ecnBits uint8 = 3
)

// ecn is the state of ECN on a connection; the zero value is a connection without.
type ecn struct {
	until   Seq   // with reduced: SND.NXT when the window was reduced
	held    uint8 // how often in a row a window of one segment was marked
	capable bool  // negotiated: marks that arrive are echoed
	ect     bool  // our data is sent as ECN-capable
	seen    bool  // the peer's data was
	echo    bool  // ECE on everything that leaves, until CWR arrives
	cwr     bool  // CWR on the next new data
	reduced bool  // the window was reduced for a mark, and nothing sent after it is acknowledged yet
	metered bool  // and PRR is bringing it down
	hold    bool  // nothing new leaves before the retransmission timer fires
}

// agreed is the state after a handshake in which both ends wanted ECN. plain: one of our SYNs did not ask. Then "a host MUST
// NOT set ECT on data packets", but has to echo (RFC 3168, section 6.1.1).
func agreed(both, plain bool) ecn { return ecn{capable: both, ect: both && !plain} }

// asksECN reports an "ECN-setup SYN" (RFC 3168, section 6.1.1). A SYN that is marked itself comes from something that does not
// know the rules ("A host MUST NOT set ECT on SYN or SYN-ACK packets") or crossed it; it gets no ECN, as in Linux.
func (s *segment) asksECN() bool { return s.flags.has(ECE|CWR) && s.ecn == notECT }

// grantsECN reports an "ECN-setup SYN-ACK packet": ECE without CWR. Both together come from hosts that reflect the reserved
// bits of the SYN.
func (s *segment) grantsECN() bool { return s.flags&(ECE|CWR) == ECE }

// askECN returns the flags of a SYN. "A host that receives no reply to an ECN-setup SYN within the normal SYN retransmission
// timeout interval MAY resend the SYN and any subsequent SYN retransmissions with CWR and ECE cleared" (section 6.1.1.1).
func (c *Conn) askECN() Flags {
	if c.opts.ECN == ECNOn && c.retries == 0 {
		return ECE | CWR
	}
	return 0
}

// ecnReply is ECE while marks have to be echoed: "in the TCP header of all" acknowledgements, with data and without, until CWR
// arrives (section 6.1.3).
func (c *Conn) ecnReply() Flags {
	if c.ecn.echo {
		return ECE
	}
	return 0
}

// ecnData returns the flags and the codepoint of new data. Nothing else is ECN-capable: no retransmission (section 6.1.5), no
// pure acknowledgement (6.1.4), no window probe (6.1.6).
func (c *Conn) ecnData() (Flags, uint8) {
	if !c.ecn.ect {
		return 0, notECT
	}
	var f Flags
	if c.ecn.cwr {
		c.ecn.cwr = false
		f = CWR
	}
	return f, ect0
}

// queueCWR is called when the window was reduced "for any reason": the next new data tells (section 6.1.2).
func (c *Conn) queueCWR() { c.ecn.cwr = c.ecn.ect }

// arriveMark takes the ECN field and CWR of data in the window; elsewhere they are ignored (section 6.1.5). A super-packet has
// one of each: CWR is that of its first segment, and what has another mark is not merged with it.
func (t *Table) arriveMark(c *Conn, s *segment) {
	e := &c.ecn
	if s.flags.has(CWR) {
		e.echo = false
		c.ackNow = true // a window that was reduced may be of one segment: it waits for this
		t.want(c)
	}
	switch s.ecn {
	case ce:
		n := s.count()
		c.stats.marks += uint32(n)
		t.counters.MarksReceived += uint64(n)
		if !e.echo {
			e.echo = true
			c.ackNow = true
			t.want(c)
		}
		e.seen = true
	case notECT:
	default:
		e.seen = true
	}
}

// echoed takes ECE of an acknowledgement: "The indication of congestion should be treated just as a congestion loss", once for
// a window of data (section 6.1.2). Who suppresses or invents ECE harms its own connection only, down to a segment for each
// time-out (attack class E16). It reports whether the window must not grow.
func (t *Table) echoed(now Time, c *Conn, s *segment, d *delivery) bool {
	e := &c.ecn
	if e.reduced && e.until.Less(c.snd.una) {
		e.reduced = false
	}
	if !s.flags.has(ECE) || s.flags.has(SYN) || d.overtaken {
		if d.acked > 0 {
			e.held = 0
		}
		return e.reduced
	}
	t.counters.EchoesReceived++
	c.stats.deliveredMarked += uint32((d.acked + d.sacked + int(c.snd.mss) - 1) / int(c.snd.mss))
	switch {
	case c.recovery.kind != recoverNone:
		// Reduced already, and with a reason that no duplicate takes away.
		c.undo.before, c.undo.learnt = c.cc, *c.cc.growth
	case !e.reduced && c.recovery.until.Less(c.snd.una) && c.busy != &t.idle: // something was under way
		t.reduceForMark(now, c, d)
	}
	return true
}

// reduceForMark reduces the window. PRR does it over a round trip, as after a loss. What is left of the last reduction cannot
// be undone any more. Below two segments there is only one left (RFC 9438, section 4.6), and below that only the timer: "The
// sending TCP will then be able to send a new packet only when the retransmit timer expires" (RFC 3168, section 6.1.2), with
// back-off.
func (t *Table) reduceForMark(now Time, c *Conn, d *delivery) {
	e := &c.ecn
	c.undo = undo{}
	t.remembers(c)
	before, mss := c.cc.cwnd, c.cc.mss
	c.cc.control().marked(now, &c.cc, c.snd.nxt.Sub(c.snd.una)+d.acked)
	small := before < 3*mss && c.cc.ssthresh <= 2*mss
	e.reduced, e.until = true, c.snd.nxt
	e.metered = !small && c.cc.metered()
	c.queueCWR()
	c.stats.reductions++
	t.counters.MarkReductions++
	switch {
	case before <= mss:
		c.cc.set(mss)
		e.hold = true
		t.setTimer(c, timerRetransmit, now.Add(min(c.rtt.rto()<<min(e.held, 10), maxRTO)))
		e.held = min(e.held, 254) + 1
	case small:
		c.cc.set(mss)
	default:
		c.prr.begin(c, d)
	}
}

// response takes what an acknowledgement says of marks, and reports whether the window must not grow.
func (t *Table) response(now Time, c *Conn, s *segment, d *delivery) bool {
	if !c.ecn.ect {
		return false
	}
	marked := t.echoed(now, c, s, d)
	t.meter(now, c, d)
	return marked
}

// meter lets PRR size the window while it shrinks for a mark, "cwnd = ssthresh" at the end, and keeps the timer that a hold
// waits for.
func (t *Table) meter(now Time, c *Conn, d *delivery) {
	e := &c.ecn
	if e.metered {
		c.prr.acked(c, d.delivered(c), d.acked > 0)
		if e.until.LessEq(c.snd.una) {
			c.cc.set(c.cc.ssthresh)
			e.metered = false
		}
	}
	if e.hold && c.deadlines[timerRetransmit] == 0 {
		t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto()))
	}
}

// reducedForMark: a loss in the same window reduces nothing more.
func (c *Conn) reducedForMark() bool { return c.ecn.reduced && c.cc.metered() }

// replaced ends what a mark began: a loss takes over.
func (e *ecn) replaced() { e.reduced, e.metered, e.hold = false, false, false }
