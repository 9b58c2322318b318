package tcp

// recovery says whether, and how far, lost data is being repaired.
type recovery struct {
	kind  recoveryKind
	until Seq  // RecoveryPoint: it ends when this is acknowledged
	first bool // one segment is sent again whatever the window says (RFC 5681, section 3.2, step 3; RFC 6582, step 3)
}

type recoveryKind uint8

const (
	recoverNone    recoveryKind = iota
	recoverFast                 // RFC 5681, section 3.2; RFC 6675; RFC 6582 without SACK
	recoverTimeout              // after a retransmission time-out
)

const dupThresh = 3

// rack is the state of the loss detection by time: what was sent a reordering window before something that has arrived is
// lost (RFC 8985).
type rack struct {
	rtt       Duration // RACK.rtt: of the most recently sent segment that was delivered
	sent      Time     // RACK.xmit_ts
	end       Seq      // RACK.end_seq
	fack      Seq      // highest sequence number delivered
	reordered bool     // RACK.reordering_seen
}

// update takes what was delivered (RFC 8985, section 6.2, steps 1 to 3).
func (r *rack) update(c *Conn, d *delivery) {
	if !d.any {
		return
	}
	l := &d.latest
	rtt := d.now.Sub(l.at)
	// A retransmission that is acknowledged faster than any round trip: the acknowledgement is of the original.
	if l.fate&retransmitted != 0 && rtt < c.rtt.min {
		return
	}
	if r.fack.Less(l.end) {
		r.fack = l.end
	} else if l.fate&retransmitted == 0 && l.end.Less(r.fack) {
		r.reordered = true
	}
	if r.sent < l.at || r.sent == l.at && r.end.Less(l.end) {
		r.sent, r.end, r.rtt = l.at, l.end, rtt
	}
}

// window is RACK_update_reo_wnd (RFC 8985, section 6.2, step 4).
func (r *rack) window(c *Conn) Duration {
	if !r.reordered && (c.recovery.kind != recoverNone || c.snd.flight.sacked >= dupThresh*int(c.snd.mss)) {
		return 0
	}
	return min(c.rtt.min/4, c.rtt.srtt)
}

// detectLoss marks what must be lost by now, and sets the timer for what may become so (RFC 8985, section 6.2, step 5).
func (t *Table) detectLoss(now Time, c *Conn) {
	r, f := &c.rack, &c.snd.flight
	if !c.sack || f.sacked == 0 && c.recovery.kind == recoverNone || f.empty() {
		return
	}
	reo := r.window(c)
	var wait Duration
	found := false
	for i := range f.list {
		s := &f.list[i]
		if s.fate&(sacked|lost) != 0 {
			continue
		}
		if s.at > r.sent || s.at == r.sent && r.end.LessEq(s.start) {
			if s.fate&retransmitted == 0 {
				break // what follows was sent later still
			}
			continue
		}
		if left := s.at.Add(r.rtt + reo).Sub(now); left <= 0 {
			f.lose(i)
			found = true
		} else {
			wait = max(wait, left)
		}
	}
	if wait > 0 {
		t.setTimer(c, timerReorder, now.Add(wait))
	}
	if found {
		t.enterRecovery(now, c)
	}
}

// duplicateAck counts duplicate acknowledgements of a peer without SACK (RFC 5681, section 2).
func (t *Table) duplicateAck(c *Conn) {
	if !c.sack && c.snd.dupAcks < 255 {
		c.snd.dupAcks++
	}
}

// respond lets loss detection and congestion control see the acknowledgement.
func (t *Table) respond(now Time, c *Conn, d *delivery, before int) {
	if c.sack {
		c.rack.update(c, d)
		t.detectLoss(now, c)
	} else {
		t.detectLossByDuplicates(now, c, d)
	}
	if c.recovery.kind != recoverNone && c.recovery.until.LessEq(c.snd.una) {
		t.leaveRecovery(c)
		return
	}
	if d.acked > 0 && c.recovery.kind != recoverFast {
		c.cc.acked(now, d.acked, before, c.rtt.last)
		c.cc.limited = false
	}
}

// detectLossByDuplicates is fast retransmit for a peer without SACK: RFC 5681, section 3.2, and RFC 6582 for the partial
// acknowledgements that follow.
func (t *Table) detectLossByDuplicates(now Time, c *Conn, d *delivery) {
	f := &c.snd.flight
	if f.empty() {
		return
	}
	partial := c.recovery.kind == recoverFast && d.acked > 0 && c.snd.una.Less(c.recovery.until)
	if !partial && (c.snd.dupAcks != dupThresh || c.recovery.kind != recoverNone) {
		return
	}
	f.split(0, c.snd.una.Add(int(c.snd.mss)))
	f.lose(0)
	t.enterRecovery(now, c)
	c.recovery.first = true
}

// enterRecovery reduces the window, once for all the losses of one flight (RFC 5681, section 3.2; RFC 6675, section 5).
func (t *Table) enterRecovery(now Time, c *Conn) {
	t.want(c)
	if c.recovery.kind != recoverNone {
		return
	}
	c.recovery = recovery{kind: recoverFast, until: c.snd.nxt, first: true}
	c.cc.congested(now)
	t.counters.Recoveries++
}

func (t *Table) leaveRecovery(c *Conn) {
	if c.recovery.kind == recoverFast {
		c.cc.set(min(c.cc.cwnd, max(c.cc.ssthresh, c.cc.mss)))
	}
	c.recovery = recovery{}
	c.snd.dupAcks = 0
}

// cwndRoom returns how many bytes the congestion window lets leave now.
func (c *Conn) cwndRoom() int {
	pipe := c.snd.flight.pipe
	if !c.sack && c.recovery.kind == recoverFast {
		pipe -= int(c.snd.dupAcks) * int(c.snd.mss) // each has left the network (RFC 5681, section 3.2, step 4)
	}
	return int(c.cc.cwnd) - max(pipe, 0)
}
