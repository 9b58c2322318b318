package tcp

// lossBased is the response of CUBIC and Reno to acknowledgements and losses: slow start, the reductions and the validation
// of the window. They differ in what they do between the losses.
type lossBased struct{}

// avoidance is what an algorithm does in congestion avoidance. It sees acknowledged bytes and congestion, never single
// segments or timers.
type avoidance interface {
	// grow is called for n bytes newly acknowledged in congestion avoidance, while the window was in use.
	grow(now Time, w *window, n int, rtt Duration)
	// reduced returns the slow-start threshold after congestion was seen (RFC 5681, equation 4, or its like).
	reduced(now Time, w *window) uint32
	// resume is called when sending starts again after an idle period: the pause is no time in which the window grew.
	resume(idle Duration)
}

func (w *window) avoidance() avoidance {
	if w.algorithm == Reno {
		return &w.reno
	}
	return &w.cubic
}

// acked takes an acknowledgement outside of fast recovery. A window of which less than half is used, "pipeACK < (1/2)*cwnd",
// is not validated and does not grow (RFC 7661, section 4.3), and the time that passes so is no time of the algorithm's (RFC
// 9438, section 5.8).
func (lossBased) acked(now Time, w *window, a *acknowledged) {
	if pipe := w.usage.note(a); !w.limited && pipe < int(w.cwnd)/2 {
		w.usage.pause(now)
		w.lapse(now)
		return
	}
	if idle := w.usage.resume(now); idle > 0 {
		w.avoidance().resume(idle)
	}
	switch {
	case w.cwnd >= w.ssthresh:
		w.avoidance().grow(now, w, a.bytes, a.rtt)
	case w.ssthresh == infiniteSsth:
		// "An implementation SHOULD use HyStart++ only for the initial slow start" (RFC 9406, section 4.3).
		n, over := w.hystart.grow(now, w, a)
		w.set(w.cwnd + uint32(n))
		if over {
			w.ssthresh = w.cwnd
		}
	default:
		// Slow start counts bytes, not acknowledgements (RFC 3465, section 2.2): one ACK answers a whole super-packet.
		w.set(min(w.cwnd+uint32(a.bytes), max(w.ssthresh, w.cwnd)))
	}
}

// lost does nothing: one reduction answers all the losses of a flight.
func (lossBased) lost(Time, *window, loss) {}

// congested reduces the window at the begin of a recovery; flight is FlightSize.
func (l lossBased) congested(now Time, w *window, flight int) {
	l.marked(now, w, flight)
	w.set(w.ssthresh)
}

// marked is the same but for the window: "treated just as a congestion loss" (RFC 3168, section 6.1.2).
func (lossBased) marked(now Time, w *window, flight int) {
	w.validate(flight)
	w.ssthresh = w.avoidance().reduced(now, w)
}

// validate takes back what of the window was not used lately, before it is reduced: "cwnd = (Max(pipeACK, LossFlightSize))" is
// what the reduction goes out from (RFC 7661, section 4.4.1). What every connection may send at its begin is always taken for
// validated, as in Linux: else one lost segment of an answer would leave two for the next.
func (w *window) validate(flight int) {
	if pipe := max(w.usage.pipeAck(), flight); pipe < int(w.cwnd)/2 {
		w.set(min(w.cwnd, max(uint32(pipe), initialWindow(w.mss))))
	}
}

// nonValidated is how long a window is kept that the application does not use: "five minutes" (RFC 7661, section 4.4.3).
const nonValidated = 300 * Second

// lapse halves a window of which less than half was used for so long, down to the initial one; ssthresh remembers three quarters
// (RFC 7661, section 4.4.3). Linux takes half of what was not used after each retransmission time-out already (RFC 2861): that
// takes from who sends in bursts what RFC 7661 was written to leave him.
func (w *window) lapse(now Time) {
	floor := initialWindow(w.mss)
	if now.Sub(w.usage.since) < nonValidated || w.cwnd <= floor {
		return
	}
	w.avoidance().resume(w.usage.resume(now))
	w.usage.pause(now)
	w.ssthresh = max(w.ssthresh, w.cwnd/4*3)
	w.set(max(w.cwnd/2, floor))
}

// timeout reduces the window to one segment, the loss window (RFC 5681, section 3.1).
func (lossBased) timeout(now Time, w *window, first bool, flight int) {
	if first {
		w.validate(flight)
		w.ssthresh = w.avoidance().reduced(now, w)
	}
	w.cubic.timedOut()
	w.set(w.mss)
}

// recovered: "cwnd = ssthresh" (RFC 9937, Completion Steps). After a time-out the window has grown by itself.
func (lossBased) recovered(w *window, fast bool) {
	if fast {
		w.set(w.ssthresh)
	}
}

// restored takes a reduction back that was not needed (RFC 9438, section 4.9): also what the algorithm knew.
func (lossBased) restored(w *window, before *window) {
	w.set(max(w.cwnd, before.cwnd))
	w.ssthresh = max(w.ssthresh, before.ssthresh)
	w.cubic, w.reno = before.cubic, before.reno
}

// restart validates a window that was idle for longer than a retransmission time-out. "... a TCP SHOULD set cwnd to no more
// than RW" (RFC 5681, section 4.1); as in Linux it is halved for each time-out of the pause, down to the initial window, and
// ssthresh remembers three quarters of what it was (RFC 2861, section 3.1).
func (lossBased) restart(now Time, w *window, idle, rto Duration) {
	if idle <= rto {
		return
	}
	w.ssthresh = max(w.ssthresh, w.cwnd/4*3)
	floor := min(w.cwnd, initialWindow(w.mss))
	w.usage.pause(now.Add(-idle))
	for ; idle > rto && w.cwnd > floor; idle -= rto {
		w.cwnd = max(w.cwnd/2, floor)
	}
	if w.hystart.started {
		w.hystart = hystart{}
	}
}
