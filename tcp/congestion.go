package tcp

import "fmt"

// Congestion names a congestion control algorithm.
type Congestion uint8

// The algorithms.
const (
	Cubic Congestion = iota // RFC 9438
	Reno                    // RFC 5681
)

func (c Congestion) String() string {
	switch c {
	case Cubic:
		return "cubic"
	case Reno:
		return "reno"
	}
	return fmt.Sprintf("Congestion(%d)", uint8(c))
}

const (
	maxCwnd      = 1 << 30 // cwnd saturates here: no window of the protocol is larger
	infiniteSsth = maxCwnd
)

// congestion is what an algorithm decides. It sees acknowledged bytes and congestion, never single segments or timers;
// which segments are lost is not its business.
type congestion interface {
	// grow is called for n bytes newly acknowledged in congestion avoidance, while the window was in use.
	grow(now Time, w *window, n int, rtt Duration)
	// reduced returns the slow-start threshold after congestion was seen (RFC 5681, equation 4, or its like).
	reduced(now Time, w *window) uint32
	// resume is called when sending starts again after an idle period: the pause is no time in which the window grew.
	resume(idle Duration)
}

// window is the congestion window with what every algorithm shares. All of it is bytes.
type window struct {
	cwnd, ssthresh uint32
	mss            uint32
	algorithm      Congestion
	limited        bool // the window was what kept us from sending more, since the last acknowledgement
	reno           reno
	cubic          cubic
}

func (w *window) control() congestion {
	if w.algorithm == Reno {
		return &w.reno
	}
	return &w.cubic
}

// initialWindow is min(10*MSS, max(2*MSS, 14600)) (RFC 6928, section 2).
func initialWindow(mss uint32) uint32 { return min(10*mss, max(2*mss, 14600)) }

func (w *window) init(a Congestion, mss uint32) {
	*w = window{cwnd: initialWindow(mss), ssthresh: infiniteSsth, mss: mss, algorithm: a}
}

func (w *window) set(cwnd uint32) { w.cwnd = min(max(cwnd, w.mss), maxCwnd) }

// acked takes n newly acknowledged bytes outside of recovery. flight is what was under way before.
//
// A window that is not used is not validated and does not grow (RFC 7661, section 4.3).
func (w *window) acked(now Time, n, flight int, rtt Duration) {
	if !w.limited && uint32(flight) < w.cwnd/2 {
		return
	}
	if w.cwnd < w.ssthresh {
		// Slow start counts bytes, not acknowledgements (RFC 3465, section 2.2): one ACK answers a whole super-packet.
		w.set(min(w.cwnd+uint32(n), max(w.ssthresh, w.cwnd)))
		return
	}
	w.control().grow(now, w, n, rtt)
}

// congested reduces the window at the begin of a recovery.
func (w *window) congested(now Time) {
	w.ssthresh = w.control().reduced(now, w)
	w.set(w.ssthresh)
}

// timeout reduces the window to one segment, the loss window (RFC 5681, section 3.1).
func (w *window) timeout(now Time, first bool) {
	if first {
		w.ssthresh = w.control().reduced(now, w)
	}
	w.set(w.mss)
}

// restart validates a window that was idle for longer than a retransmission time-out (RFC 5681, section 4.1).
func (w *window) restart(idle Duration) {
	w.set(min(w.cwnd, initialWindow(w.mss)))
	w.control().resume(idle)
}
