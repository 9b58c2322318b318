package tcp

import "tcpd/ip"

// lossProbe is the state of Tail Loss Probe: when the acknowledgements stop, one segment is sent that makes the peer tell
// what it has, so that the loss of a tail is repaired like any other and not by a time-out (RFC 8985, section 7).
type lossProbe struct {
	due   bool
	out   bool // a probe is under way
	again bool // TLP.is_retrans
	end   Seq  // TLP.end_seq
}

// probeAckDelay is TLP.max_ack_delay: for how long a peer may hold back the acknowledgement of less than two full segments
// (200 ms as in Linux; RFC 9293, SHLD-19, counts full segments).
const probeAckDelay = 200 * Millisecond

// probeSlack is what the clocks and schedulers of both ends may add to a round trip that is short (as in Linux, two of its
// ticks; RFC 8985 has none, and probes for nothing on paths below a millisecond).
const probeSlack = 2 * Millisecond

// probeable tells whether nothing else will find a loss out: "... unless it is already in fast recovery, RTO recovery, or
// segments have been SACKed" (RFC 8985, section 7.2).
func (c *Conn) probeable() bool {
	f := &c.flight
	return c.sack && c.state != SynReceived && c.recovery.kind == recoverNone && !c.ecn.hold && !f.empty() && f.sacked == 0 && f.lost == 0
}

// armProbe sets the timer of the probe, after new data was sent and when some was acknowledged: TLP_calc_PTO of RFC 8985,
// section 7.2. While a probe is under way there is no other.
func (t *Table) armProbe(now Time, c *Conn) {
	if !c.probeable() || c.tlp.out {
		c.stopTimer(timerProbe)
		return
	}
	pto := initialRTO
	if c.rtt.srtt != 0 {
		pto = 2*c.rtt.srtt + probeSlack
		if c.snd.nxt.Sub(c.snd.una) < 2*int(c.snd.mss) {
			pto += probeAckDelay
		}
	}
	when := now.Add(pto)
	if rto := c.deadlines[timerRetransmit]; rto != 0 {
		when = min(when, rto)
	}
	t.setTimer(c, timerProbe, when)
}

// probeTimeout makes the probe due. "After attempting to send a loss probe, regardless of whether a loss probe was sent, the
// sender MUST re-arm the RTO timer, not the PTO timer, if the FlightSize is not zero." (RFC 8985, section 7.3)
func (t *Table) probeTimeout(now Time, c *Conn) {
	if !c.probeable() {
		return
	}
	c.tlp.due = true
	t.setTimer(c, timerRetransmit, now.Add(c.rtt.rto()))
	t.want(c)
}

// emitProbe sends new data if there is some and the peer's window takes it, else the last segment again; the congestion
// window does not matter (RFC 8985, section 7.3).
func (t *Table) emitProbe(now Time, c *Conn, out *ip.Outgoing) bool {
	c.tlp.due = false
	if !c.probeable() {
		return false
	}
	c.tlp.out, c.tlp.again = true, false
	t.counters.LossProbes++
	c.stats.lossProbes++
	if n := min(c.unsent(), int(c.segmentPayload())); n > 0 && n <= c.snd.windowRoom() {
		t.emitNew(now, c, n, c.snd.fin && n == c.unsent() && n < c.snd.windowRoom(), int(c.segmentPayload()), 0, out)
	} else {
		c.tlp.again = true
		p := c.flight.isolateLast(int(c.segmentPayload()), c.snd.finSent)
		s := c.flight.at(p)
		t.resend(now, c, p, span{s.start, s.end}, out)
	}
	c.tlp.end = c.snd.nxt
	return true
}

// probeAcked finds out whether a probe that repeated the last segment has repaired a loss: then congestion control hears of
// it, once (RFC 8985, section 7.4.2, TLP_process_ack).
func (t *Table) probeAcked(now Time, c *Conn, ack Seq, d *delivery) {
	if !c.tlp.out || ack.Less(c.tlp.end) {
		return
	}
	switch {
	case !c.tlp.again:
		// It was new data, and nothing before it was lost.
	case d.probeTwice, d.duplicate:
		// The peer has got both the original and the probe.
	case c.tlp.end.Less(ack):
		// "Repaired the single loss": no report of a duplicate came before newer data was acknowledged.
		if c.recovery.kind == recoverNone && !c.reducedForMark() {
			t.remembers(c)
			c.cc.control().congested(now, &c.cc, d.before)
			t.counters.LossProbeRepairs++
		}
	default:
		return // the acknowledgement of one of the two; what follows tells
	}
	c.tlp = lossProbe{}
}
