package tcp

// hystart ends the first slow start before it fills the buffers of the path: HyStart++ (RFC 9406). When the shortest
// round-trip time of a round exceeds that of the round before, the window grows a quarter as fast (Conservative Slow Start)
// until five rounds confirm it, or a shorter round-trip time shows that it was noise.
type hystart struct {
	started       bool
	css           bool
	rounds        uint8    // of CSS
	end           Seq      // windowEnd: the round ends when this is acknowledged
	last, current Duration // shortest round-trip time of the round before, and of this one; 0: none yet
	baseline      Duration // of the round in which CSS began
	samples       int
	fraction      uint32 // of growth in CSS
}

// The constants of RFC 9406, section 4.3.
const (
	minRTTThresh     = 4 * Millisecond
	maxRTTThresh     = 16 * Millisecond
	minRTTDivisor    = 8
	rttSamples       = 8 // N_RTT_SAMPLE
	cssGrowthDivisor = 4
	cssRounds        = 5
)

// grow returns by how much the window grows for an acknowledgement, and whether slow start is over (RFC 9406, section 4.2).
// There is no limit L for the growth per acknowledgement: with super-packets one acknowledgement is a whole round.
func (h *hystart) grow(a *acknowledged, mss uint32) (n int, over bool) {
	if !h.started || h.end.Less(a.una) { // what ends a round still measures it: in the next it would hide that the path is slower
		over = h.nextRound(a.nxt)
	}
	h.sample(a, mss)
	if !h.css {
		return a.bytes, over
	}
	h.fraction += uint32(a.bytes)
	n = int(h.fraction / cssGrowthDivisor)
	h.fraction %= cssGrowthDivisor
	return n, over
}

// nextRound begins a round. The round in which CSS began counts.
func (h *hystart) nextRound(nxt Seq) (over bool) {
	if h.started && h.css {
		h.rounds++
	}
	h.started, h.end = true, nxt
	h.last, h.current, h.samples = h.current, 0, 0
	return h.css && h.rounds >= cssRounds
}

// sample takes the round-trip time of an acknowledgement. One that answers a super-packet counts as often as the
// acknowledgements of every second segment that it stands for; otherwise a round would seldom have eight.
func (h *hystart) sample(a *acknowledged, mss uint32) {
	if a.sample == 0 {
		return
	}
	if h.current == 0 || a.sample < h.current {
		h.current = a.sample
	}
	if h.samples += max(a.bytes/int(2*mss), 1); h.samples < rttSamples {
		return
	}
	switch {
	case h.css:
		if h.current < h.baseline {
			h.css, h.rounds = false, 0
		}
	case h.last != 0 && h.current >= h.last+min(max(h.last/minRTTDivisor, minRTTThresh), maxRTTThresh):
		h.css, h.rounds, h.baseline = true, 0, h.current
	}
}
