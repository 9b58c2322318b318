package tcp

import "fmt"

// Pacing says whether what the congestion window allows leaves at once, or spread over the round trip.
type Pacing uint8

// The choices.
const (
	PacingAuto Pacing = iota // BBR is paced; CUBIC and Reno while more than 64 KiB could leave at once
	PacingOn
	PacingOff
)

func (p Pacing) String() string {
	switch p {
	case PacingAuto:
		return "auto"
	case PacingOn:
		return "on"
	case PacingOff:
		return "off"
	}
	return fmt.Sprintf("Pacing(%d)", uint8(p))
}

const (
	// On a shorter path a round trip is not much longer than what timers and super-packets can tell apart, and pacing costs
	// more than the burst.
	minPacedRTT = 500 * Microsecond
	// At 4 Gbit/s a super-packet of 64 KiB lasts two ticks of the wheel.
	maxPacedRate = 500_000_000
	// As much of a window leaves at once with CUBIC and Reno, unless told otherwise. Acknowledgements seldom make
	// room for more; the end of a recovery in which the send buffer ran dry does, and so does data after an idle time.
	maxBurst = 64 << 10
	// The first ten segments are not paced, as in Linux: they are the initial window.
	unpacedSegments = 10
)

// paced tells whether c is paced now.
func (c *Conn) paced() bool {
	switch {
	case c.rtt.min < minPacedRTT, c.opts.Pacing == PacingOff, c.opts.Pacing == PacingAuto && c.cc.bbr == nil && c.cwndRoom() <= maxBurst:
		return false
	}
	return c.pacingRate() < maxPacedRate && c.stats.bytesSent >= unpacedSegments*uint64(c.snd.mss)
}

// pacingRate returns bytes per second. For CUBIC and Reno it is what Linux takes (sk_pacing_rate): twice cwnd/srtt while slow
// start wants to double the window, 1.2 times later.
func (c *Conn) pacingRate() uint64 {
	if c.cc.bbr != nil {
		return c.cc.bbr.rate
	}
	percent := uint64(120)
	if c.cc.cwnd < c.cc.ssthresh/2 {
		percent = 200
	}
	return percent * max(uint64(c.cc.cwnd), uint64(c.inflight())) * uint64(Second/Microsecond) /
		(100 * max(uint64(c.rtt.srtt/Microsecond), 1))
}

// quantum is the longest super-packet of segments of mss that leaves: about a millisecond of the pacing rate, "at least" two
// segments (draft-ietf-ccwg-bbr-06, section 5.6.3).
func (c *Conn) quantum(mss int) int {
	n := c.superPayload(mss)
	if !c.paced() {
		return n
	}
	return min(n, max(int(c.pacingRate()/1000)/mss, 2)*mss)
}

// pace sets when the next packet may leave, after n bytes have. Whoever comes late gets up to half of the pause back, as in
// Linux: the rate holds although timers are coarse, and an idle connection saves nothing up.
func (c *Conn) pace(now Time, n int) {
	if !c.paced() {
		c.release = 0
		return
	}
	// The rate may be another soon: nobody is kept waiting for longer than a second (as Linux, sch_fq).
	pause := min(Duration(uint64(n)*uint64(Second)/max(c.pacingRate(), 1)), Second)
	c.cc.hystart.spread(pause)
	if late := now.Sub(c.release); late > 0 {
		pause -= min(pause/2, late)
	}
	c.release = max(c.release, now).Add(pause)
}

// hold waits until the next packet may leave.
func (t *Table) hold(c *Conn) {
	if c.deadlines[timerPace] != c.release {
		t.setTimer(c, timerPace, c.release)
	}
}

func (t *Table) paceTimeout(_ Time, c *Conn) { t.want(c) }
