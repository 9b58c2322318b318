package world

import "tcpd/tcp"

// checkEvery says how often the costly invariants are looked at: each so many steps; at each with a trace, and for one seed in
// so many.
const checkEvery = 16

// check looks at what must hold between any two events.
func (w *world) check() {
	if w.closing != 0 {
		if w.now.Sub(w.closing) > silence {
			w.failf("not silent %v s after the last application: %+v %+v", seconds(tcp.Time(silence)), w.ends[0].table.Len(),
				w.ends[1].table.Len())
		}
		if n := w.sent() - w.sentBy; n > chatter*uint64(len(w.pairs)) {
			w.failf("%d packets after the last application has gone", n)
		}
	}
	if w.trace == nil && w.step%w.every != 0 && w.plan.seed%uint64(w.every) != 0 {
		return
	}
	for _, p := range w.pairs {
		p.checkAcked()
		p.checkKept(0)
		p.checkKept(1)
	}
	for _, e := range w.ends {
		e.check()
	}
}

// check looks at one end: its records, its memory, its counting.
func (e *end) check() {
	if err := e.table.Check(); err != nil {
		e.w.failf("end %d: %v", e.index, err)
	}
	if c := e.table.Charged(); c != e.memory.used {
		e.w.failf("end %d: %d bytes charged, the budget says %d", e.index, c, e.memory.used)
	}
	c := e.table.Counters()
	var drops uint64
	for _, n := range c.Drops {
		drops += n
	}
	if c.SegmentsIn+e.icmpIn != drops || c.SegmentsIn != e.arrived {
		e.w.failf("end %d: %d segments and %d ICMP messages arrived, %d segments counted, %d by reason", e.index, e.arrived, e.icmpIn,
			c.SegmentsIn, drops)
	}
}

// checkEnd looks at what is left when nothing will ever happen again.
func (w *world) checkEnd() {
	for _, p := range w.pairs {
		if !p.over() {
			w.failf("connection %d is not over, and nothing happens any more", p.index)
		}
		p.checkEnd()
	}
	for _, e := range w.ends {
		e.check()
		if n := e.table.Len(); n != (tcp.Lengths{}) || e.table.Charged() != 0 {
			w.failf("end %d: left in the end: %+v, %d bytes", e.index, n, e.table.Charged())
		}
		c := e.table.Counters()
		// A loss probe is sent before anything is known to be lost, and may come early (RFC 8985, section 7). A SYN that uses a flow
		// again within a tick of the timestamps may carry neither a later one nor a higher number than what is in TIME-WAIT: it is
		// challenged, its RST changes nothing there (RFC 1337), and the next one begins the connection (RFC 6191).
		early := w.ends[1-e.index].early
		if w.plan.clean() && w.orderly() && (c.Retransmits > c.LossProbes+early || c.Timeouts+c.Recoveries > early) {
			w.failf("end %d: %d retransmissions, %d loss probes, %d time-outs, %d recoveries on a perfect link",
				e.index, c.Retransmits, c.LossProbes, c.Timeouts, c.Recoveries)
		}
	}
}

// orderly: no handshake waits for an application or for a listener, and no side breaks off what the other still sends.
func (w *world) orderly() bool {
	for _, e := range w.ends {
		if e.plan.hold || e.memory.scarce() || e.plan.connections > 0 || e.plan.absent != (interval{}) {
			return false
		}
	}
	for _, a := range w.apps {
		if !a.plan.end.polite() {
			return false
		}
	}
	return true
}
