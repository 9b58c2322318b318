package tcp

// cubic is the congestion avoidance of RFC 9438, in integers: windows in bytes, time in milliseconds, C = 0.4 segments per
// second cubed, beta = 0.7.
type cubic struct {
	epoch     Time   // t = 0 of the curve; 0: the next growth begins one
	k         int64  // ms from epoch to wMax, figure 2
	wMax      uint32 // window before the last reduction
	origin    uint32 // plateau of the present curve
	prior     uint32 // cwnd at the last reduction
	wEst      uint32 // what Reno would have, section 4.3
	fraction  int64  // growth of less than a byte, in 1/cwnd bytes
	estFactor int64  // the same of wEst
}

const cubicHorizon = 60_000 // ms; far from the plateau the growth is bounded by half a window anyway

// grow follows the curve (RFC 9438, sections 4.2 to 4.5).
func (c *cubic) grow(now Time, w *window, n int, rtt Duration) {
	if c.epoch == 0 {
		c.begin(now, w)
	}
	t := int64(now.Sub(c.epoch)+rtt) / int64(Millisecond)
	target := min(max(c.curve(t, w.mss), int64(w.cwnd)), int64(w.cwnd)*3/2)
	c.fraction += (target - int64(w.cwnd)) * int64(n)
	inc := c.fraction / int64(w.cwnd)
	c.fraction -= inc * int64(w.cwnd)
	c.friendly(w, n)
	w.set(max(uint32(min(int64(w.cwnd)+inc, maxCwnd)), c.wEst))
}

func (c *cubic) begin(now Time, w *window) {
	c.epoch = now
	c.wEst = w.cwnd
	c.origin, c.k = w.cwnd, 0
	if w.cwnd < c.wMax {
		c.origin = c.wMax
		// K = cubic_root((W_max - cwnd) / C) in seconds; 1e9 makes it milliseconds. The windows are few segments on most paths:
		// the fraction of one counts.
		c.k = cubeRoot(int64(c.wMax-w.cwnd) * 2_500_000 / int64(w.mss) * 1000)
	}
}

// curve is W_cubic(t), equation 1, in bytes.
func (c *cubic) curve(t int64, mss uint32) int64 {
	d := min(max(t-c.k, -cubicHorizon), cubicHorizon)
	return int64(c.origin) + d*d*d/1_000_000*int64(mss)/1000*4/10
}

// friendly grows the estimate of Reno's window, section 4.3, equation 4.
func (c *cubic) friendly(w *window, n int) {
	add := int64(n) * int64(w.mss)
	if c.wEst < c.prior {
		add = add * 9 / 17 // alpha = 3 * (1 - beta) / (1 + beta)
	}
	c.estFactor += add
	inc := c.estFactor / int64(w.cwnd)
	c.estFactor -= inc * int64(w.cwnd)
	c.wEst = uint32(min(int64(c.wEst)+inc, maxCwnd))
}

// reduced is the multiplicative decrease with fast convergence, sections 4.6 and 4.7.
func (c *cubic) reduced(_ Time, w *window) uint32 {
	c.epoch, c.fraction, c.estFactor = 0, 0, 0
	c.prior = w.cwnd
	if w.cwnd < c.wMax {
		c.wMax = uint32(uint64(w.cwnd) * 17 / 20) // (1 + beta) / 2
	} else {
		c.wMax = w.cwnd
	}
	return max(uint32(uint64(w.cwnd)*7/10), 2*w.mss)
}

// timedOut: "K is set to 0, and W_max is set to the congestion window size at the beginning of the current congestion avoidance
// stage" (RFC 9438, section 4.8). What the path took before the time-out says little of it now.
func (c *cubic) timedOut() { c.epoch, c.wMax = 0, 0 }

func (c *cubic) resume(idle Duration) {
	if c.epoch != 0 {
		c.epoch = c.epoch.Add(idle)
	}
}

// cubeRoot returns the integer cube root of x >= 0.
func cubeRoot(x int64) int64 {
	var r int64
	for b := int64(1) << 20; b > 0; b >>= 1 {
		if n := r | b; n*n*n <= x {
			r = n
		}
	}
	return r
}
