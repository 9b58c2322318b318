package world

import "tcpd/tcp"

// checkEnd: two polite sides in a healthy world get everything.
func (p *pair) checkEnd() {
	for side := range p.apps {
		p.checkAcknowledged(side)
		p.checkWritten(side)
	}
	if !p.mild() || p.plan.closedPort || p.refused {
		return
	}
	if !p.apps[0].plan.end.polite() || !p.apps[1].plan.end.polite() {
		return
	}
	for _, a := range p.apps {
		if !a.eof || a.err != nil {
			p.w.failf("%v: both sides were polite, but EOF %v, error %v", a, a.eof, a.err)
		}
	}
}

// checkAcknowledged: what a side acknowledged on the wire its application has read, or the peer was told by RST (N1). Nobody
// can be told any more when the connection was over before the application gave it up, or reset by the peer before one had it.
func (p *pair) checkAcknowledged(side int) {
	a, t, peer := p.apps[side], &p.taps[side], &p.taps[1-side]
	if p.shared || !t.acks || t.rst || a.dead || a.conn == nil && t.reset {
		return
	}
	acked := t.ack - peer.iss - 1
	if peer.fin && t.ack == peer.max {
		acked--
	}
	if less(uint32(a.got), acked) {
		p.w.failf("%v: acknowledged %d bytes, its application read %d, and no RST has said so", a, acked, a.got)
	}
}

// checkWritten: what was written was read by the peer, or it gave up, or the failure was reported, or at least counted when
// the application had gone already (N4).
func (p *pair) checkWritten(side int) {
	a, peer := p.apps[side], p.apps[1-side]
	if a.conn == nil || a.sent <= peer.got || a.err != nil || a.abortive || peer.abortive {
		return
	}
	if c := p.w.ends[a.end].table.Counters(); c.TimedOut+c.ResetsIn == 0 {
		p.w.failf("%v: %d bytes of %d arrived, and nothing failed", a, peer.got, a.sent)
	}
}

// checkKept: what was SACKed, and not overtaken since, lies in the receive buffer (N2).
func (p *pair) checkKept(side int) {
	a, t := p.apps[side], &p.taps[side]
	if p.shared || a.over || a.conn == nil || a.conn.Err() != nil || t.claimed == 0 {
		return
	}
	i := a.info()
	if n := i.OutOfOrder; n < t.claimed-1 && i.State == tcp.Established { // a FIN counts one, and is not stored
		p.w.failf("%v: SACKed %d bytes, and keeps %d", a, t.claimed, n)
	}
}

// lossless: whatever the ends say arrives.
func (w *world) lossless() bool {
	for i := range w.plan.links {
		l := &w.plan.links[i]
		if l.loss > 0 || l.badStart > 0 || len(l.nth) > 0 || l.flip > 0 || len(l.dark) > 0 || l.rate > 0 || len(l.narrow) > 0 {
			return false
		}
	}
	return true
}
