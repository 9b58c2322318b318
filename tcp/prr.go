package tcp

// prr is Proportional Rate Reduction: during fast recovery it sends in proportion to what is delivered, so that the flight
// shrinks to ssthresh over one round trip and not at once (RFC 9937, which replaces RFC 6937). All of it is bytes.
type prr struct {
	delivered int // prr_delivered
	out       int // prr_out
	flight    int // RecoverFS
}

// begin is the "Initialization Steps" of RFC 9937: what was sacked before the acknowledgement that began the recovery cannot
// be delivered during it.
func (p *prr) begin(c *Conn, d *delivery) {
	f := c.snd.nxt.Sub(c.snd.una) - c.flight.sacked + d.fresh
	*p = prr{flight: max(f, int(c.snd.mss))}
}

// takes: without SACK no more is believed to be delivered than there was, or duplicate acknowledgements without end would
// draw out data without end.
func (p *prr) takes(n int) bool { return p.delivered+n <= p.flight }

// acked is the "Per-ACK Steps". safe: SND.UNA advanced and no further loss was found.
func (p *prr) acked(c *Conn, delivered int, safe bool) {
	if !c.sack && !p.takes(delivered) {
		delivered = 0
	}
	p.delivered += delivered
	mss, ssthresh, inflight := int(c.snd.mss), int(c.cc.ssthresh), c.inflight()
	var n int
	if inflight > ssthresh {
		n = int((int64(p.delivered)*int64(ssthresh)+int64(p.flight)-1)/int64(p.flight)) - p.out
	} else {
		n = max(p.delivered-p.out, delivered) // PRR-CRB, conservative
		if safe {
			n += mss // PRR-SSRB: slow start while recovery makes progress
		}
		n = min(ssthresh-inflight, n)
	}
	n = max(n, 0)
	if n == 0 && p.out == 0 {
		n = mss // the fast retransmit
	}
	c.cc.set(uint32(min(inflight+n, maxCwnd)))
}
