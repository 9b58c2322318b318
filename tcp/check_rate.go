package tcp

// bbrs: as many records of BBR are taken as are counted.
func (c *checker) bbrs() {
	t := c.t
	n := 0
	for i := range t.conns.next {
		if conn := t.conns.at(i); conn.live && conn.cc.bbr != nil {
			n++
			c.require(t.bbrs.at(conn.cc.bbr.index) == conn.cc.bbr, "%v: BBR's record %d is kept elsewhere", conn.flow, conn.cc.bbr.index)
		}
	}
	c.require(n == t.nBBR && n+len(t.bbrs.free) == int(t.bbrs.next), "%d connections have BBR, %d are counted, %d records are taken",
		n, t.nBBR, int(t.bbrs.next)-len(t.bbrs.free))
}

// rate: what was known when a stretch left is not more than what is known now, and the model is within its bounds.
func (c *checker) rate(conn *Conn) {
	f, r, b := conn.flow, &conn.rate, conn.cc.bbr
	for p := (place{}); conn.flight.has(p); p = conn.flight.next(p) {
		s := conn.flight.at(p)
		c.require(int32(r.delivered-s.mark.delivered) >= 0 && int32(r.lost-s.mark.lost) >= 0,
			"%v: [%d, %d) left with %d delivered and %d lost, now there are %d and %d", f, s.start, s.end,
			s.mark.delivered, s.mark.lost, r.delivered, r.lost)
		c.require(s.mark.first.sub(s.at.micros()) <= 0 && s.mark.at.sub(s.at.micros()) <= 0,
			"%v: the sample of [%d, %d) begins after it left", f, s.start, s.end)
	}
	c.require((b != nil) == (conn.opts.Congestion == BBR), "%v: %v, and its record says otherwise", f, conn.opts.Congestion)
	if b == nil || !synchronized.has(conn.state) {
		return
	}
	c.require(b.phase > PhaseNone && b.phase < numPhases, "%v: %v", f, b.phase)
	c.require(b.full || !b.probingBW() && b.phase != PhaseDrain, "%v: %v without having filled the pipe", f, b.phase)
	c.require(b.rate > 0 && b.minRTT > 0 && b.bw <= b.max(), "%v: rate %d, shortest round trip %d, bandwidth %d of %d", f, b.rate, b.minRTT, b.bw, b.max())
	c.require(b.delivered == r.delivered || conn.busy == &c.t.idle, "%v: BBR knows of %d delivered, there are %d", f, b.delivered, r.delivered)
}
