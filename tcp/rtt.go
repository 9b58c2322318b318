package tcp

const (
	initialRTO Duration = Second            // RFC 6298, (2.1)
	lostSynRTO          = 3 * Second        // (5.7): until there is a measurement
	minRTO              = 200 * Millisecond // as Linux; RFC 6298, (2.4) says 1 s, which slows every recovery on short paths
	maxRTO              = 120 * Second      // as Linux; RFC 6298, (2.5) allows any bound of at least 60 s
)

// minRTTWindow is for how many seconds the shortest round-trip time counts: routes change (RFC 8985, section 6.2, step 1; five
// minutes as in Linux, tcp_min_rtt_wlen).
const minRTTWindow = 300

// rttEstimator measures the round-trip time and derives the retransmission time-out (RFC 6298).
type rttEstimator struct {
	srtt, rttvar, min, last Duration
	backoff                 uint8  // doublings of the time-out, (5.5)
	cautious                bool   // the handshake's first segment was lost
	minAt                   uint32 // when min was measured, in seconds
}

// sample takes one measurement, (2.2) and (2.3).
func (r *rttEstimator) sample(now Time, d Duration) {
	d = max(d, Microsecond)
	r.last = d
	if s := uint32(now / Time(Second)); d <= r.min || r.srtt == 0 || s-r.minAt > minRTTWindow {
		r.min, r.minAt = d, s
	}
	if r.srtt == 0 {
		r.srtt, r.rttvar = d, d/2
		return
	}
	r.rttvar += (max(r.srtt-d, d-r.srtt) - r.rttvar) / 4
	r.srtt += (d - r.srtt) / 8
}

// rto returns the current time-out. The floor applies to the variance, as in Linux: an estimate without variance still
// leaves a delayed acknowledgement its time.
func (r *rttEstimator) rto() Duration {
	d := initialRTO
	switch {
	case r.srtt != 0:
		d = r.srtt + max(4*r.rttvar, minRTO)
	case r.cautious:
		d = lostSynRTO
	}
	return min(d<<min(r.backoff, 16), maxRTO)
}
