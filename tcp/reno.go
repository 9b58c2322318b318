package tcp

// reno is the congestion avoidance of RFC 5681.
type reno struct {
	acked uint32 // bytes acknowledged since the window last grew
}

// grow adds one segment per window of acknowledged bytes (RFC 5681, section 3.1; RFC 3465).
func (r *reno) grow(_ Time, w *window, n int, _ Duration) {
	r.acked += uint32(n)
	if r.acked >= w.cwnd {
		r.acked -= w.cwnd
		w.set(w.cwnd + w.mss)
	}
	r.acked = min(r.acked, w.cwnd)
}

func (r *reno) reduced(_ Time, w *window) uint32 {
	r.acked = 0
	return max(w.cwnd/2, 2*w.mss)
}

func (r *reno) resume(Duration) {}
