package tcp

// hystart ends the first slow start before it fills the buffers of the path: HyStart++ (RFC 9406). When the shortest
// round-trip time of a round exceeds that of the round before, the window grows a quarter as fast (Conservative Slow Start)
// until five rounds confirm it, or a shorter round-trip time shows that it was noise.
//
// It has a second sign, the train of HyStart, which RFC 9438, section 4.10, allows as well: acknowledgements that follow each
// other for half of the round trip are those of a path that is full. Round-trip times tell a round trip later, and of a queue of
// two round trips the window has by then lost a third. After a train no shorter round trip takes CSS back: it may be shorter by
// microseconds, and the path is full. Where both signs agree, CSS ends: "at most" five rounds (RFC 9406, section 4.2) would lose a
// part of that queue as well.
type hystart struct {
	started       bool
	css           bool
	full          bool     // a train was seen
	rounds        uint8    // of CSS
	round         uint32   // C.delivered at its begin: it ends when something that was sent later is delivered
	last, current Duration // shortest round-trip time of the round before, and of this one; 0: none yet
	baseline      Duration // of the round in which CSS began
	samples       int
	fraction      uint32 // of growth in CSS

	began, train micros    // of the train, and when its last acknowledgement came
	paced        [2]uint32 // microseconds by which pacing spread the round before, and this one
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

// The constants of the train, as in Linux (tcp_cubic.c).
const (
	trainGap      = 2 * Millisecond // a longer pause between acknowledgements begins another, and so does
	trainGapShare = 8               // of the round trip
	trainShare    = 2               // of the round trip: as long a train is one of a full path
	trainSegments = 16              // of the window: a shorter one makes none
)

// grow returns by how much the window grows for an acknowledgement, and whether slow start is over (RFC 9406, section 4.2).
// There is no limit L for the growth per acknowledgement: with super-packets one acknowledgement is a whole round.
func (h *hystart) grow(now Time, w *window, a *acknowledged) (n int, over bool) {
	if !h.started || a.rate.ok && int32(a.rate.prior-h.round) >= 0 {
		h.nextRound(now, a.sampler.delivered)
	}
	h.sample(a, w.mss)
	if h.trained(now, a) && w.cwnd >= trainSegments*w.mss {
		h.full = true
		h.conserve()
	}
	if !h.css {
		return a.bytes, false
	}
	h.fraction += uint32(a.bytes)
	n = int(h.fraction / cssGrowthDivisor)
	h.fraction %= cssGrowthDivisor
	return n, h.rounds >= cssRounds
}

// nextRound begins a round. The round in which CSS began counts.
func (h *hystart) nextRound(now Time, delivered uint32) {
	if h.started && h.css {
		h.rounds++
	}
	h.started, h.round = true, delivered
	h.last, h.current, h.samples = h.current, 0, 0
	h.began, h.train = now.micros(), now.micros()
	h.paced[0], h.paced[1] = h.paced[1], 0
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
	longer := h.last != 0 && h.current >= h.last+min(max(h.last/minRTTDivisor, minRTTThresh), maxRTTThresh)
	switch {
	case !h.css && longer:
		h.conserve()
	case h.css && !h.full && h.current < h.baseline:
		h.css, h.rounds = false, 0
	case h.css && longer && h.full && h.rounds > 0:
		h.rounds = cssRounds
	}
}

// conserve begins CSS.
func (h *hystart) conserve() {
	if !h.css {
		h.css, h.rounds, h.baseline = true, 0, h.current
	}
}

// trained tells whether acknowledgements have come one after the other for so long that the path must be full. What pacing or
// the application spread is no sign of that. The round trip is that of the round before: the handshake's may have been another's,
// of a proxy on the way.
func (h *hystart) trained(now Time, a *acknowledged) bool {
	if a.rate.limited || h.last == 0 {
		return false
	}
	if now.micros().sub(h.train) > min(trainGap, h.last/trainGapShare) {
		h.began = now.micros()
	}
	h.train = now.micros()
	return h.train.sub(h.began) > h.last/trainShare+Duration(h.paced[0])*Microsecond
}

// spread notes that pacing held back for d.
func (h *hystart) spread(d Duration) {
	if h.started {
		h.paced[1] += uint32(d / Microsecond)
	}
}
