package tcp

// The model of the path (draft-ietf-ccwg-bbr-06, section 5.5).

// takeLatest is UpdateLatestDeliverySignals (section 5.5.10.3).
func (b *bbr) takeLatest(a *acknowledged) {
	b.lossRoundStart = false
	if !a.rate.ok {
		return
	}
	b.latestBW = max(b.latestBW, a.rate.rate)
	b.latestInflight = max(b.latestInflight, a.rate.delivered)
	if int32(a.rate.prior-b.lossRound) >= 0 {
		b.lossRound = b.delivered
		b.lossRoundStart = true
	}
}

// advanceLatest is AdvanceLatestDeliverySignals.
func (b *bbr) advanceLatest(a *acknowledged) {
	if b.lossRoundStart {
		b.latestBW, b.latestInflight = a.rate.rate, a.rate.delivered
	}
}

func (b *bbr) resetSignals() {
	b.lossInRound, b.latestBW, b.latestInflight = false, 0, 0
}

func (b *bbr) resetShortTerm() { b.shortBW, b.shortInflight = bbrInfiniteRate, bbrInfinite }

// takeSignals is UpdateCongestionSignals: the bandwidth on every acknowledgement, losses once a round.
func (b *bbr) takeSignals(w *window, a *acknowledged) {
	b.takeRound(a)
	if r := a.rate.rate; r > 0 && (r >= b.max() || !a.rate.limited) {
		b.maxBW[1] = max(b.maxBW[1], r)
	}
	if !b.lossRoundStart {
		return
	}
	if b.lossInRound && b.phase == PhaseProbeCruise {
		b.lower(w)
	}
	b.lossInRound = false
}

// takeRound is UpdateRound (section 5.5.1).
func (b *bbr) takeRound(a *acknowledged) {
	b.roundStart = a.rate.ok && int32(a.rate.prior-b.nextRound) >= 0
	if b.roundStart {
		b.nextRound = b.delivered
		b.round++
		b.sinceUp++
		b.trips[0], b.trips[1] = b.trips[1], bbrNoRTT
	}
	if a.rate.ok {
		b.trips[1] = min(b.trips[1], a.trip)
	}
}

// max is max_bw, over this ProbeBW cycle and the one before.
func (b *bbr) max() uint64 { return max(b.maxBW[0], b.maxBW[1]) }

// advanceMax is AdvanceMaxBwFilter. A cycle without any sample is none.
func (b *bbr) advanceMax() {
	if b.maxBW[1] != 0 {
		b.maxBW[0], b.maxBW[1] = b.maxBW[1], 0
	}
}

// lower is AdaptLowerBoundsFromCongestion: down to what was delivered in the round, and not below beta, 0.7. The draft does so in
// Drain, ProbeBW_DOWN and ProbeRTT as well; but there we have slowed down ourselves, so that what is delivered says nothing of
// the path, and one loss would hold the rate of the whole cruise at the 0.9 of DOWN.
func (b *bbr) lower(w *window) {
	if b.shortBW == bbrInfiniteRate {
		b.shortBW = b.max()
	}
	if b.shortInflight == bbrInfinite {
		b.shortInflight = w.cwnd
	}
	b.shortBW = max(b.latestBW, b.shortBW*7/10)
	b.shortInflight = max(b.latestInflight, uint32(uint64(b.shortInflight)*7/10))
}

// extraAcked is one half of the filter of extra_acked: a window of so many rounds, in two halves that take turns.
type extraAcked struct {
	most  uint32
	round uint32 // in which the half began
}

func (b *bbr) extraAcked() uint32 { return max(b.extra[0].most, b.extra[1].most) }

// aggregation is UpdateACKAggregation (section 5.5.9): what comes acknowledged beyond the expected rate is what
// acknowledgements gather on their way.
func (b *bbr) aggregation(now Time, w *window, a *acknowledged) {
	expected := min(b.bw, 1<<40) * uint64(max(now.Sub(b.extraAt), 0)/Microsecond) / 1_000_000
	if uint64(b.extraSum) <= expected {
		b.extraSum, b.extraAt, expected = 0, now, 0
	}
	b.extraSum = uint32(min(uint64(b.extraSum)+uint64(a.delivered), maxCwnd))
	n := min(uint32(uint64(b.extraSum)-expected), w.cwnd)
	rounds := uint32(1) // in Startup
	if b.full {
		rounds = bbrExtraRounds / 2
	}
	if b.roundStart && b.round-b.extra[1].round >= rounds {
		b.extra[0], b.extra[1] = b.extra[1], extraAcked{round: b.round}
	}
	b.extra[1].most = max(b.extra[1].most, n)
}

// takeRTT is UpdateMinRTT (section 5.3.4.3). A round trip that is as short as the shortest, but for what clocks and packets of
// others make of it, says what ProbeRTT would find out: that no queue stands. The draft's wants it shorter, which it never is on
// a path of constant length: then ProbeRTT halves the rate every five seconds to learn what is known. The handshake counts until data measures: what answers a SYN may be nearer than the
// peer, a proxy or a firewall, and a model of a path so short leaves 2 of 100 Mbit/s for ten seconds.
func (b *bbr) takeRTT(now Time, a *acknowledged) {
	if a.sample > 0 && !b.seenData {
		b.seenData = true
		b.probeMin, b.minRTT = bbrNoRTT, bbrNoRTT
	}
	b.expired = now > b.probeMinAt.Add(bbrProbeInterval)
	switch {
	case a.sample == 0:
	case a.sample >= b.probeMin && a.sample-b.probeMin <= b.probeMin/bbrSameRTT:
		b.probeMinAt, b.expired = now, false // also where a round trip takes longer than the interval
	case a.sample < b.probeMin || b.expired:
		b.probeMin, b.probeMinAt = a.sample, now
	}
	if b.probeMin < b.minRTT || now > b.minRTTAt.Add(bbrMinRTTFilter) {
		b.minRTT, b.minRTTAt = b.probeMin, b.probeMinAt
	}
}

// tooMuch is IsInflightTooHigh (section 5.5.10.2): of what was in flight more than the path may lose was lost.
func tooMuch(lost, inflight uint32, sack bool) bool {
	return uint64(lost)*100 > uint64(inflight)*bbrLossPerHundred || lost > 0 && !sack
}

// crowded tells whether losses are a sign of congestion. Here we do not follow the draft, for which every loss is one: it
// gives 80 and 32 of 100 Mbit/s where 1% and 3% of packets are lost at random (TestBBR_randomLoss; with this it is 92 and 89),
// and BBR is what people with such paths come for. What overflows a queue has packets with it that waited in that queue: while
// the shortest round trip of a round or two is no longer than that of the path, a loss is the path's own, unless a tenth of
// all is lost, as behind a policer. That a single packet was late says nothing: paths and machines stall. For the same reason
// the cruise too lowers its bounds beyond LossThresh only: on a machine that is short of processor every round trip is long, and
// a single loss would do it.
func (b *bbr) crowded(w *window, lost, inflight uint32) bool {
	queue := min(b.trips[0], b.trips[1]) > b.minRTT+max(b.minRTT/bbrQueueShare, bbrQueueNoise)
	return queue || lost > bbrLossRanges*w.mss && lost > inflight/10
}

// lost is HandleLostPacket (section 5.5.10.2).
func (b *bbr) lost(now Time, w *window, l loss) {
	b.delivered = l.delivered
	if !b.episode {
		b.saveState(w)
	}
	if !b.crowded(w, l.since, l.inflight) {
		return
	}
	if !b.lossInRound && b.lossRanges == 0 {
		b.lossRound = b.delivered
	}
	much := tooMuch(l.since, l.inflight, l.sack)
	b.lossInRound = b.lossInRound || b.phase == PhaseProbeCruise && much
	if l.start != b.lastLost || b.lossRanges == 0 {
		b.lossRanges = min(b.lossRanges, 254) + 1
	}
	b.lastLost = l.end
	if b.probeSample && much {
		b.inflightTooHigh(now, w, b.inflightAt(l), l.limited)
	}
}

// inflightAt is InflightAtLoss: how much was in flight when, within the stretch, the losses passed the threshold.
func (b *bbr) inflightAt(l loss) uint32 {
	n := int64(l.end.Sub(l.start))
	before, lost := int64(l.inflight)-n, int64(l.since)-n
	prefix := (bbrLossPerHundred*before - 100*lost) / (100 - bbrLossPerHundred)
	return uint32(max(before+prefix, 0))
}

// inflightTooHigh is HandleInflightTooHigh.
func (b *bbr) inflightTooHigh(now Time, w *window, inflight uint32, limited bool) {
	b.tooHigh = true
	b.probeSample = false
	if !limited {
		b.longInflight = max(inflight, uint32(uint64(b.target(w))*7/10))
	}
	if b.phase == PhaseProbeUp {
		b.undoPhase = PhaseProbeUp
		b.startDown(now)
	}
}

// saveState is SaveStateUponLoss (section 5.5.11.1), once for a recovery: what is taken back is all of it.
func (b *bbr) saveState(w *window) {
	b.saveCwnd(w)
	b.episode = true
	b.undoPhase = PhaseNone
	b.undoBW, b.undoShort, b.undoLong = b.shortBW, b.shortInflight, b.longInflight
}

// restored is HandleSpuriousLossDetection (section 5.5.11.2).
func (b *bbr) restored(w *window, _ *window) {
	b.recovered(w, true)
	b.lossInRound = false
	b.resetFull(0)
	b.shortBW = max(b.shortBW, b.undoBW)
	b.shortInflight = max(b.shortInflight, b.undoShort)
	b.longInflight = max(b.longInflight, b.undoLong)
	switch {
	case b.undoPhase == PhaseStartup && b.phase != PhaseStartup:
		b.full = false
		if b.phase != PhaseProbeRTT {
			b.phase = PhaseStartup
		}
	case b.undoPhase == PhaseProbeUp && b.phase != PhaseProbeUp && b.phase != PhaseProbeRTT:
		b.startRefill()
	}
	b.undoPhase = PhaseNone
}
