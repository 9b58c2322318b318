package tcp

// rack is the state of the loss detection by time: what was sent a reordering window before something that has arrived is
// lost (RFC 8985).
type rack struct {
	rtt  Duration // RACK.rtt: of the most recently sent segment that was delivered
	sent Time     // RACK.xmit_ts
	end  Seq      // RACK.end_seq
	fack Seq      // RACK.fack: highest sequence number delivered
}

// reordering is what a connection has learnt of it.
type reordering struct {
	round   Seq   // RACK.dsack_round
	seen    bool  // RACK.reordering_seen
	inRound bool  // a DSACK was seen since round was set
	mult    uint8 // RACK.reo_wnd_mult, less one
	persist uint8 // RACK.reo_wnd_persist
}

const (
	rackPersist = 16 // recoveries without DSACK after which the reordering window shrinks again
	rackMaxMult = 254
)

// update takes what was delivered (RFC 8985, section 6.2, steps 1 to 3).
func (r *rack) update(d *delivery) {
	if !d.any {
		return
	}
	r.fack = maxSeq(r.fack, d.highest)
	l := &d.latest
	if r.sent < l.at || r.sent == l.at && r.end.Less(l.end) {
		r.sent, r.end = l.at, l.end
		if d.at >= l.at {
			r.rtt = d.at.Sub(l.at)
		}
	}
}

// adapt widens the reordering window once in a round trip that brings DSACKs: something was taken for lost too early (RFC
// 8985, section 6.2, step 4). DSACKs of loss probes say nothing of reordering, as in Linux.
func (r *reordering) adapt(c *Conn, d *delivery) {
	if r.inRound && r.round.LessEq(c.snd.una) {
		r.inRound = false
	}
	if !r.inRound && d.hasDSACK && !d.probeTwice && c.stats.retransmits > 0 {
		r.inRound, r.round = true, c.snd.nxt
		r.mult = min(r.mult+1, rackMaxMult)
		r.persist = rackPersist
	}
}

// recovered: "Reset the window after 16 DSACK-free recoveries."
func (r *reordering) recovered() {
	if r.persist > 0 {
		r.persist--
	}
	if r.persist == 0 {
		r.mult = 0
	}
}

// window is RACK_update_reo_wnd (RFC 8985, section 6.2, step 4).
func (r *reordering) window(c *Conn) Duration {
	if !r.seen && (c.recovery.kind != recoverNone || c.flight.sacked >= dupThresh*int(c.snd.mss)) {
		return 0
	}
	return min((Duration(r.mult)+1)*c.rtt.min/4, c.rtt.srtt)
}

// detectLoss marks what must be lost by now, retransmissions too, and sets the timer for what may become so (RFC 8985,
// section 6.2, step 5). It reports whether it marked anything.
func (t *Table) detectLoss(now Time, c *Conn) bool {
	r, f := &c.rack, &c.flight
	if !c.sack || f.sacked == 0 && c.recovery.kind == recoverNone || f.empty() {
		return false
	}
	after := r.rtt + c.reorder.window(c)
	var wait Duration
	found := false
	for k := range f.blocks {
		b := &f.blocks[k]
		if b.open == 0 {
			continue
		}
		b.refresh()
		if b.oldest > r.sent {
			if f.again == 0 {
				break // what follows was sent later still
			}
			continue
		}
		left := b.newest.Add(after).Sub(now)
		if b.newest >= r.sent || b.oldest.Add(after) <= now {
			var lost bool
			left, lost = t.loseOfBlock(now, c, k, after)
			found = found || lost
		}
		wait = max(wait, left)
	}
	if wait > 0 {
		t.setTimer(c, timerReorder, now.Add(wait))
	}
	return found
}

// loseOfBlock marks what of block k was sent earlier than what has arrived, and so long before: after. It returns the time after
// which the rest of that will be lost, too, and whether it marked anything.
func (t *Table) loseOfBlock(now Time, c *Conn, k int, after Duration) (wait Duration, found bool) {
	r := &c.rack
	list := c.flight.blocks[k].list
	for i := range list {
		s := &list[i]
		if s.fate&(sacked|lost) != 0 || s.at > r.sent || s.at == r.sent && r.end.LessEq(s.start) {
			continue
		}
		p := place{k, i}
		switch left := s.at.Add(after).Sub(now); {
		case left > 0:
			wait = max(wait, left)
		case s.at == now: // a clock that stands takes no time for a round trip, and whatever leaves would be lost at once, for ever
			wait = max(wait, Microsecond)
		case !t.probeVanished(c, p):
			c.lose(now, p)
			found = true
		}
	}
	return wait, found
}

// reorderTimeout: what waited for the reordering window has not come.
func (t *Table) reorderTimeout(now Time, c *Conn) {
	if !t.detectLoss(now, c) {
		return
	}
	var d delivery
	d.begin(c, now, now)
	t.enterRecovery(now, c, &d)
	if c.recovery.kind == recoverFast && c.cc.metered() {
		c.prr.acked(c, 0, false)
	}
}
