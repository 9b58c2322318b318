package tcp

import "fmt"

// bbr is the congestion control of draft-ietf-ccwg-bbr-06, BBR version 3: a model of the path, of how fast it delivers
// (bw) and how long it takes when no queue stands (minRTT), decides the pacing rate and the window. Names in comments are the
// draft's, "BBR." left out. Rates are bytes per second, amounts bytes; gains are percent. What the draft calls Infinity is the
// largest number.
//
// It lies in a slab of its own: connections with another algorithm do not pay for it.
type bbr struct {
	index  uint32 // in the slab
	random random

	phase    Phase
	acks     ackPhase
	rate     uint64 // C.pacing_rate
	extraAt  Time   // extra_acked_interval_start
	extraSum uint32 // extra_acked_delivered
	extra    [2]extraAcked

	// The rate of the path.
	bw        uint64
	maxBW     [2]uint64 // max_bw_filter: of the ProbeBW cycle before, and of this one
	shortBW   uint64    // bw_shortterm
	latestBW  uint64    // bw_latest
	fullBW    uint64
	fullCount uint8
	fullNow   bool
	full      bool // full_bw_reached

	// Its length.
	minRTT, probeMin     Duration    // min_rtt, probe_rtt_min_delay
	minRTTAt, probeMinAt Time        // min_rtt_stamp, probe_rtt_min_stamp
	probeDone            Time        // probe_rtt_done_stamp; 0: not set
	probeRoundDone       bool        // probe_rtt_round_done
	trips                [2]Duration // shortest round trip of the round before, and of this one
	expired              bool        // probe_rtt_expired
	idle                 bool        // idle_restart
	seenRTT              bool        // has_seen_rtt
	seenData             bool        // and one of data

	// What it holds.
	shortInflight  uint32 // inflight_shortterm
	longInflight   uint32 // inflight_longterm
	latestInflight uint32 // inflight_latest

	// Rounds and phases.
	delivered     uint32 // C.delivered
	round         uint32 // round_count
	nextRound     uint32 // next_round_delivered
	roundStart    bool
	drainRound    uint32 // drain_start_round
	sinceUp       uint32 // rounds_since_probe_up
	cycleAt       Time   // cycle_stamp
	wait          Duration
	upRounds      uint8
	upAcked       uint32
	upPerInc      uint32
	probeSample   bool // is_bw_probe_sample
	tooHigh       bool // prev_probe_too_high
	precautionary bool // prev_probe_precautionary
	limited       bool // the window kept us from sending, in this round
	wasLimited    bool // and in the one before

	// Losses.
	lossRound      uint32 // loss_round_delivered
	lossRoundStart bool
	lossInRound    bool
	lossRanges     uint8 // stretches lost in this round that do not touch
	lastLost       Seq   // end of the one before
	episode        bool  // of losses, for which what follows is kept
	undoPhase      Phase // undo_state; PhaseNone: none
	undoBW         uint64
	undoShort      uint32
	undoLong       uint32
	priorCwnd      uint32
}

// Phase is a state of BBR.
type Phase uint8

// The phases.
const (
	PhaseNone Phase = iota // not BBR
	PhaseStartup
	PhaseDrain
	PhaseProbeDown
	PhaseProbeCruise
	PhaseProbeRefill
	PhaseProbeUp
	PhaseProbeRTT
	numPhases
)

func (p Phase) String() string {
	names := [numPhases]string{"none", "Startup", "Drain", "ProbeBW_DOWN", "ProbeBW_CRUISE", "ProbeBW_REFILL", "ProbeBW_UP", "ProbeRTT"}
	if p < numPhases {
		return names[p]
	}
	return fmt.Sprintf("Phase(%d)", uint8(p))
}

// gains are the pacing and window gains of the phases, in percent (section 5.6.1).
var gains = [numPhases]struct{ pacing, cwnd uint64 }{
	PhaseStartup: {277, 200}, PhaseDrain: {50, 200}, PhaseProbeDown: {90, 200}, PhaseProbeCruise: {100, 200},
	PhaseProbeRefill: {100, 200}, PhaseProbeUp: {125, 225}, PhaseProbeRTT: {100, 50},
}

// ackPhase is ack_phase: what the acknowledgements that come tell of a probe.
type ackPhase uint8

const (
	acksInit ackPhase = iota
	acksRefilling
	acksProbeStarting
	acksProbeFeedback
	acksProbeStopping
)

// The constants of the draft, section 2.
const (
	bbrMinPipe        = 4 // segments
	bbrMinRTTFilter   = 10 * Second
	bbrProbeInterval  = 5 * Second
	bbrProbeDuration  = 200 * Millisecond
	bbrExtraRounds    = 10
	bbrLossRanges     = 6 // BBRStartupFullLossCnt
	bbrFullRounds     = 3
	bbrMargin         = 99 // percent: 100 less PacingMarginPercent
	bbrMaxRenoRounds  = 63
	bbrInfinite       = 1<<32 - 1
	bbrInfiniteRate   = 1<<63 - 1
	bbrNoRTT          = Duration(Never)
	bbrLossPerHundred = 2               // LossThresh
	bbrSameRTT        = 64              // a round trip that is longer by that part of the shortest is none that waited
	bbrQueueShare     = 8               // of the shortest round trip: what is longer by as much has waited in a queue
	bbrQueueNoise     = 2 * Millisecond // super-packets, timers and delayed acknowledgements make as much
)

// start is OnInit (section 5.2.1).
func (b *bbr) start(now Time, w *window, srtt Duration) {
	*b = bbr{
		index: b.index, random: b.random, minRTT: bbrNoRTT, probeMin: bbrNoRTT, minRTTAt: now, probeMinAt: now, extraAt: now,
		longInflight: bbrInfinite, upPerInc: bbrInfinite, phase: PhaseStartup,
	}
	b.resetShortTerm()
	b.resetSignals()
	b.initRate(w, srtt)
}

// initRate is InitPacingRate (section 5.6.2).
func (b *bbr) initRate(w *window, srtt Duration) {
	b.seenRTT = srtt > 0
	if srtt == 0 {
		srtt = Millisecond
	} else {
		b.minRTT, b.probeMin = min(b.minRTT, srtt), min(b.probeMin, srtt)
	}
	b.rate = uint64(initialWindow(w.mss)) * uint64(Second) / uint64(srtt) * gains[PhaseStartup].pacing / 100
}

// acked is UpdateOnACK (section 5.2.3).
func (b *bbr) acked(now Time, w *window, a *acknowledged) {
	if !b.seenRTT && a.sample > 0 {
		b.initRate(w, a.sample)
	}
	b.delivered = a.sampler.delivered
	b.limited = b.limited || w.limited
	b.takeLatest(a)
	b.takeSignals(w, a)
	b.aggregation(now, w, a)
	b.checkFull(a)
	b.checkStartup(w, a)
	b.checkDrain(now, w, a)
	b.cycle(now, w, a)
	b.takeRTT(now, a)
	b.checkProbeRTT(now, w, a)
	b.advanceLatest(a)
	b.bw = min(b.max(), b.shortBW) // BoundBWForModel
	b.setRate(gains[b.phase].pacing)
	b.setCwnd(w, a)
	if b.roundStart {
		b.wasLimited, b.limited = b.limited, false
	}
}

// model is what Info tells.
func (b *bbr) model() Model {
	finite := func(n uint32) int {
		if n == bbrInfinite {
			return 0
		}
		return int(n)
	}
	m := Model{
		Phase: b.phase, Bandwidth: b.bw, PacingGain: int(gains[b.phase].pacing), CwndGain: int(gains[b.phase].cwnd),
		InflightLong: finite(b.longInflight), InflightShort: finite(b.shortInflight),
	}
	if b.minRTT != bbrNoRTT {
		m.MinRTT = b.minRTT
	}
	return m
}

// setRate is SetPacingRateWithGain (section 5.6.2). While nothing was measured, as when losses end Startup before the first
// sample, the rate stays that of the begin: nothing being known is not nothing passing.
func (b *bbr) setRate(gain uint64) {
	if r := b.bw * gain / 100 * bbrMargin / 100; b.bw != 0 && b.full || r > b.rate {
		b.rate = max(r, 1)
	}
}

// setCwnd is SetCwnd (sections 5.6.4.6 and 5.6.4.7).
func (b *bbr) setCwnd(w *window, a *acknowledged) {
	limit := b.budget(w, b.bdp(w, b.bw, gains[b.phase].cwnd)+uint64(b.extraAcked()))
	cwnd := uint64(w.cwnd)
	switch {
	case b.full:
		cwnd = min(cwnd+uint64(a.delivered), limit)
	case cwnd < limit || b.delivered < initialWindow(w.mss):
		cwnd += uint64(a.delivered)
	}
	cwnd = max(cwnd, uint64(bbrMinPipe*w.mss))
	if b.phase == PhaseProbeRTT {
		cwnd = min(cwnd, b.probeRTTCwnd(w))
	}
	w.set(uint32(min(cwnd, b.bound(w), maxCwnd)))
}

// bound is BoundCwndForModel.
func (b *bbr) bound(w *window) uint64 {
	limit := uint32(bbrInfinite)
	switch b.phase {
	case PhaseProbeCruise, PhaseProbeRTT:
		limit = b.headroom(w)
	case PhaseProbeDown, PhaseProbeRefill, PhaseProbeUp:
		limit = b.longInflight
	}
	return uint64(max(min(limit, b.shortInflight), bbrMinPipe*w.mss))
}

// bdp is BDPMultiple (section 5.6.4.2); gain is percent.
func (b *bbr) bdp(w *window, bw, gain uint64) uint64 {
	if b.minRTT == bbrNoRTT {
		return uint64(initialWindow(w.mss))
	}
	return min(min(bw, 1<<40)*uint64(b.minRTT/Microsecond)/1_000_000*gain/100, bbrInfinite)
}

// budget is QuantizationBudget: a window in which super-packets do not wait for each other (section 5.6.4.2).
func (b *bbr) budget(w *window, n uint64) uint64 {
	quantum := max(min(b.rate/1000, maxSuper), 2*uint64(w.mss))
	n = max(n, 3*quantum, uint64(bbrMinPipe*w.mss))
	if b.phase == PhaseProbeUp {
		n += 2 * uint64(w.mss)
	}
	return n
}

// target is TargetInflight (section 5.3.3.8).
func (b *bbr) target(w *window) uint32 { return uint32(min(b.bdp(w, b.bw, 100), uint64(w.cwnd))) }

func (b *bbr) probeRTTCwnd(w *window) uint64 {
	return max(b.bdp(w, b.bw, gains[PhaseProbeRTT].cwnd), uint64(bbrMinPipe*w.mss))
}

// saveCwnd and restoreCwnd keep the last window that no loss and no ProbeRTT has cut (section 5.6.4.4).
func (b *bbr) saveCwnd(w *window) {
	if !b.episode && b.phase != PhaseProbeRTT {
		b.priorCwnd = 0
	}
	b.priorCwnd = max(b.priorCwnd, w.cwnd)
}

func (b *bbr) restoreCwnd(w *window) { w.set(max(w.cwnd, b.priorCwnd)) }

// congested changes nothing: what is lost changes the model, stretch by stretch. A recovery that follows another one at once begins
// without a loss of its own.
func (b *bbr) congested(_ Time, w *window, _ int) {
	if !b.episode {
		b.saveState(w)
	}
}

// marked takes a mark for a loss that is a sign of congestion, which the draft leaves open: the round lowers the short-term
// bounds, and a probe for more ends.
func (b *bbr) marked(now Time, w *window, flight int) {
	if !b.lossInRound && b.phase == PhaseProbeCruise {
		b.lossRound, b.lossInRound = b.delivered, true
	}
	if b.probeSample {
		b.inflightTooHigh(now, w, uint32(flight), false)
	}
}

// timeout is OnEnterRTO (section 5.6.4.4): one segment, and the window comes back with what is delivered.
func (b *bbr) timeout(_ Time, w *window, first bool, _ int) {
	if first {
		b.saveState(w)
	}
	w.set(w.mss)
}

// recovered: "When BBR exits loss recovery it restores C.cwnd".
func (b *bbr) recovered(w *window, _ bool) {
	b.episode = false
	b.restoreCwnd(w)
}

// restart is HandleRestartFromIdle (section 5.4.1).
func (b *bbr) restart(now Time, w *window, _, _ Duration) {
	b.idle = true
	b.extraAt = now
	switch {
	case b.probingBW():
		b.setRate(100)
	case b.phase == PhaseProbeRTT:
		b.checkProbeRTTDone(now, w)
	}
}
