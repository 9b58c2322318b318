package tcp

import "fmt"

// Congestion names a congestion control algorithm.
type Congestion uint8

// The algorithms.
const (
	Cubic Congestion = iota // RFC 9438
	Reno                    // RFC 5681
	BBR                     // draft-ietf-ccwg-bbr-06, version 3
)

func (c Congestion) String() string {
	switch c {
	case Cubic:
		return "cubic"
	case Reno:
		return "reno"
	case BBR:
		return "bbr"
	}
	return fmt.Sprintf("Congestion(%d)", uint8(c))
}

const (
	maxCwnd      = 1 << 30 // cwnd saturates here: no window of the protocol is larger
	infiniteSsth = maxCwnd
)

// congestion is the response to what loss detection, acknowledgements and timers tell: a window, and a rate where there is
// pacing. It does not decide what is lost.
type congestion interface {
	// acked takes an acknowledgement: of a loss-based algorithm outside of fast recovery, where PRR meters.
	acked(now Time, w *window, a *acknowledged)
	// lost takes a stretch that is deemed lost from now on.
	lost(now Time, w *window, l loss)
	// congested is called at the begin of a fast recovery, and timeout for each retransmission time-out; first: for the first
	// that this flight meets. flight is FlightSize.
	congested(now Time, w *window, flight int)
	timeout(now Time, w *window, first bool, flight int)
	// marked is called once for a window of data of which something was marked on its way (RFC 3168). It lowers ssthresh; PRR
	// brings the window there.
	marked(now Time, w *window, flight int)
	// recovered is called when a recovery has ended, a fast one or one from a time-out, and restored when it was for nothing;
	// before is the window that it found.
	recovered(w *window, fast bool)
	restored(w *window, before *window)
	// restart is called when data is to leave and nothing is in flight, after an idle time.
	restart(now Time, w *window, idle, rto Duration)
}

// window is the congestion window with what every algorithm shares. All of it is bytes.
type window struct {
	cwnd, ssthresh uint32
	mss            uint32
	algorithm      Congestion
	limited        bool // the window was what kept us from sending more, since the last acknowledgement
	bbr            *bbr // with BBR, in the table's slab
	*growth             // see remembers
	usage          usage
}

// acknowledged is what an acknowledgement tells congestion control.
type acknowledged struct {
	bytes    int      // for which the window grows: see delivery.progress
	flight   int      // what was under way before
	rtt      Duration // of the latest measurement
	sample   Duration // measured by this acknowledgement; 0: none
	una, nxt Seq      // after it

	delivered  int // newly acknowledged, cumulatively or selectively
	inflight   int // what is under way after it
	trip       Duration
	recovering bool
	sack       bool
	rate       rateSample
	sampler    *sampler
}

// loss is a stretch that was sent and is deemed lost.
type loss struct {
	start, end Seq
	inflight   uint32 // what was under way when it was sent, with it
	since      uint32 // bytes lost since then, with it
	delivered  uint32 // C.delivered, now
	limited    bool   // by the application, when it was sent
	sack       bool
}

func (w *window) control() congestion {
	if w.bbr != nil {
		return w.bbr
	}
	return lossBased{}
}

// initialWindow is min(10*MSS, max(2*MSS, 14600)) (RFC 6928, section 2).
func initialWindow(mss uint32) uint32 { return min(10*mss, max(2*mss, 14600)) }

// init begins with the initial window. b is the record of BBR, nil with another algorithm.
func (w *window) init(a Congestion, mss uint32, b *bbr) {
	*w = window{cwnd: initialWindow(mss), ssthresh: infiniteSsth, mss: mss, algorithm: a, bbr: b, growth: w.growth}
}

func (w *window) set(cwnd uint32) { w.cwnd = min(max(cwnd, w.mss), maxCwnd) }

// metered tells whether PRR sizes the window in a fast recovery: a model goes on as before.
func (w *window) metered() bool { return w.bbr == nil }

// lose marks the record of the flight at p as lost and tells congestion control.
func (c *Conn) lose(now Time, p place) {
	s := c.flight.at(p)
	if s.fate&(sacked|lost) != 0 {
		return
	}
	c.flight.lose(p)
	c.rate.lost += uint32(s.len())
	c.cc.control().lost(now, &c.cc, loss{
		start: s.start, end: s.end, inflight: s.mark.inflight, since: c.rate.lost - s.mark.lost, delivered: c.rate.delivered,
		limited: s.limited, sack: c.sack,
	})
}

// lossBeyond: of what is still in flight something was lost, and not only found to be too big for the path.
func (c *Conn) lossBeyond() bool { return c.flight.lost+c.flight.again > 0 && !c.recovery.tooBig }

// trip is the latest round-trip time, also of what was sent again where SACK tells which transmission has arrived: as long
// as the queue on the path is now.
func (c *Conn) trip() Duration {
	if c.sack {
		return c.rack.rtt
	}
	return c.rtt.last
}

// loseOverdue marks what a retransmission time-out takes for lost: the first segment, and with RACK only what was sent a round trip
// and the reordering window ago; what left just now can have arrived, for all that is known (RFC 8985, section 6.3).
func (c *Conn) loseOverdue(now Time) {
	var young Duration
	switch {
	case c.sack && c.rack.rtt != 0:
		young = c.rack.rtt + c.reorder.window(c)
	case c.sack:
		young = c.rtt.srtt // nothing was delivered of this flight
	}
	for p := (place{}); c.flight.has(p); p = c.flight.next(p) {
		if p == (place{}) || now.Sub(c.flight.at(p).at) >= young {
			c.lose(now, p)
		}
	}
}
