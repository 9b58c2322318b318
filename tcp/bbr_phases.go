package tcp

// The phases of BBR and what leads from one to the next (draft-ietf-ccwg-bbr-06, section 5.3).

func (b *bbr) probingBW() bool { return b.phase >= PhaseProbeDown && b.phase <= PhaseProbeUp }

// startRound: the round ends when something is acknowledged that was sent after what is delivered now.
func (b *bbr) startRound() { b.nextRound = b.delivered }

func (b *bbr) resetFull(bw uint64) { b.fullBW, b.fullCount, b.fullNow = bw, 0, false }

// checkFull is CheckFullBWReached: three rounds without a quarter more (section 5.3.1.2).
func (b *bbr) checkFull(a *acknowledged) {
	if b.fullNow || !b.roundStart || a.rate.limited || a.rate.rate == 0 {
		return
	}
	if a.rate.rate >= b.fullBW+b.fullBW/4 {
		b.resetFull(a.rate.rate)
		return
	}
	b.fullCount++
	if b.fullNow = b.fullCount >= bbrFullRounds; b.fullNow {
		b.full = true
	}
}

// checkStartup is CheckStartupDone, with CheckStartupHighLoss (section 5.3.1.3).
func (b *bbr) checkStartup(w *window, a *acknowledged) {
	if b.lossRoundStart {
		defer func() { b.lossRanges = 0 }()
	}
	if b.phase != PhaseStartup {
		return
	}
	if !b.full && a.recovering && b.highLoss(a) {
		b.undoPhase = PhaseStartup
		b.full, b.fullNow = true, true
		b.longInflight = max(uint32(b.bdp(w, b.max(), 100)), b.latestInflight)
	}
	if b.full {
		b.phase = PhaseDrain
		b.drainRound = b.round
	}
}

func (b *bbr) highLoss(a *acknowledged) bool {
	if !a.sack {
		return a.rate.lost > 0
	}
	return b.lossRoundStart && b.lossRanges >= bbrLossRanges && tooMuch(a.rate.lost, a.rate.inflight, true)
}

// checkDrain is CheckDrainDone (section 5.3.2).
func (b *bbr) checkDrain(now Time, w *window, a *acknowledged) {
	if b.phase == PhaseDrain && (uint64(a.inflight) <= b.budget(w, b.bdp(w, b.bw, 100)) || b.round > b.drainRound+3) {
		b.startDown(now)
	}
}

// startDown is StartProbeBW_DOWN (section 5.3.3.9), with PickProbeWait.
func (b *bbr) startDown(now Time) {
	b.resetSignals()
	b.upPerInc = bbrInfinite
	b.sinceUp = uint32(b.random.below(2))
	b.wait = 2*Second + Duration(b.random.below(int64(Second)))
	b.cycleAt = now
	b.acks = acksProbeStopping
	b.startRound()
	b.phase = PhaseProbeDown
}

// startRefill is StartProbeBW_REFILL.
func (b *bbr) startRefill() {
	b.resetShortTerm()
	b.upRounds, b.upAcked = 0, 0
	b.precautionary = false
	b.acks = acksRefilling
	b.startRound()
	b.phase = PhaseProbeRefill
}

// startUp is StartProbeBW_UP.
func (b *bbr) startUp(w *window, a *acknowledged) {
	b.acks = acksProbeStarting
	b.startRound()
	b.resetFull(a.rate.rate)
	b.phase = PhaseProbeUp
	b.raiseSlope(w)
}

// cycle is UpdateProbeBWCyclePhase.
func (b *bbr) cycle(now Time, w *window, a *acknowledged) {
	if !b.full || b.adapt(w, a) {
		return
	}
	switch b.phase {
	case PhaseProbeDown:
		if !b.probeAgain(now, w, a) && b.mayCruise(w, a) {
			b.phase = PhaseProbeCruise
		}
	case PhaseProbeCruise:
		b.probeAgain(now, w, a)
	case PhaseProbeRefill:
		if b.roundStart {
			b.probeSample = true
			b.startUp(w, a)
		}
	case PhaseProbeUp:
		if b.goDown(w, a) {
			b.tooHigh = false
			b.startDown(now)
		}
	}
}

// probeAgain is IsTimeToProbeBW: after two to three seconds, or as many rounds as Reno would take to grow by what is in
// flight (section 5.3.3.8).
func (b *bbr) probeAgain(now Time, w *window, a *acknowledged) bool {
	rounds := min(b.target(w)/w.mss, bbrMaxRenoRounds)
	if now <= b.cycleAt.Add(b.wait) && b.sinceUp < rounds {
		return false
	}
	b.startRefill()
	return true
}

// mayCruise is IsTimeToCruise.
func (b *bbr) mayCruise(w *window, a *acknowledged) bool {
	return uint32(a.inflight) <= b.headroom(w) && uint64(a.inflight) <= b.budget(w, b.bdp(w, b.max(), 100))
}

// goDown is IsTimeToGoDown (section 5.3.3.7).
func (b *bbr) goDown(w *window, a *acknowledged) bool {
	if b.tooHigh && uint32(a.inflight) >= b.longInflight {
		b.precautionary = true
		return true
	}
	if (b.limited || b.wasLimited) && w.cwnd >= b.longInflight {
		b.resetFull(a.rate.rate)
		return false
	}
	return b.fullNow
}

// headroom is InflightWithHeadroom: 15% are left to others.
func (b *bbr) headroom(w *window) uint32 {
	if b.longInflight == bbrInfinite {
		return bbrInfinite
	}
	room := max(w.mss, uint32(uint64(b.longInflight)*15/100))
	return max(b.longInflight-min(room, b.longInflight), bbrMinPipe*w.mss)
}

// raiseSlope is RaiseInflightLongtermSlope: growth doubles each round.
func (b *bbr) raiseSlope(w *window) {
	b.upPerInc = max(w.cwnd>>b.upRounds, w.mss)
	b.upRounds = min(b.upRounds+1, 30)
}

// grow is ProbeInflightLongtermUpward.
func (b *bbr) grow(w *window, a *acknowledged) {
	if !b.limited && !b.wasLimited || w.cwnd < b.longInflight {
		return
	}
	b.upAcked += uint32(a.delivered)
	if n := b.upAcked / b.upPerInc; n > 0 {
		b.upAcked -= n * b.upPerInc
		b.longInflight = uint32(min(uint64(b.longInflight)+uint64(n)*uint64(w.mss), maxCwnd))
	}
	if b.roundStart {
		b.raiseSlope(w)
	}
}

// adapt is AdaptLongTermModel: it follows what a probe brings, and reports whether it has begun the next phase.
func (b *bbr) adapt(w *window, a *acknowledged) bool {
	if b.acks == acksProbeStarting && b.roundStart {
		b.acks = acksProbeFeedback
	}
	if b.acks == acksProbeStopping && b.roundStart {
		b.probeSample = false
		b.acks = acksInit
		if b.probingBW() && !a.rate.limited {
			b.advanceMax()
		}
		if b.probingBW() && b.precautionary && !b.tooHigh {
			b.startRefill()
			return true
		}
	}
	if b.longInflight == bbrInfinite || !a.rate.ok || b.crowded(w, a.rate.lost, a.rate.inflight) && tooMuch(a.rate.lost, a.rate.inflight, a.sack) {
		return false
	}
	b.longInflight = max(b.longInflight, a.rate.inflight)
	if b.phase == PhaseProbeUp {
		b.grow(w, a)
	}
	return false
}

// checkProbeRTT is CheckProbeRTT (section 5.3.4.3).
func (b *bbr) checkProbeRTT(now Time, w *window, a *acknowledged) {
	if b.phase != PhaseProbeRTT && b.expired && !b.idle && !b.ending(a) {
		b.saveCwnd(w)
		b.phase = PhaseProbeRTT
		b.probeDone = 0
		b.acks = acksProbeStopping
		b.startRound()
	}
	if b.phase == PhaseProbeRTT {
		b.probeRTT(now, w, a)
	}
	if a.delivered > 0 {
		b.idle = false
	}
}

// ending tells whether Drain empties the queue, as ProbeRTT would, or will soon, because Startup sees its plateau. Here we do not
// follow the draft: on a path of 300 ms the plateau and the five seconds come together, and what ProbeRTT sends of its own
// accord counts for nothing in checkFull, so Startup filled the queue twice.
func (b *bbr) ending(a *acknowledged) bool {
	return b.phase == PhaseDrain || b.phase == PhaseStartup && b.fullCount > 0 && !a.rate.limited
}

// probeRTT is HandleProbeRTT.
func (b *bbr) probeRTT(now Time, w *window, a *acknowledged) {
	a.sampler.dry(a.inflight) // its low rates say nothing of the path
	switch {
	case b.probeDone == 0:
		if uint64(a.inflight) <= b.probeRTTCwnd(w) {
			b.probeDone = now.Add(bbrProbeDuration)
			b.probeRoundDone = false
			b.startRound()
		}
	default:
		b.probeRoundDone = b.probeRoundDone || b.roundStart
		if b.probeRoundDone {
			b.checkProbeRTTDone(now, w)
		}
	}
}

// checkProbeRTTDone is CheckProbeRTTDone, with ExitProbeRTT (section 5.3.4.4).
func (b *bbr) checkProbeRTTDone(now Time, w *window) {
	if b.probeDone == 0 || now <= b.probeDone {
		return
	}
	b.probeMinAt = now
	b.restoreCwnd(w)
	b.resetShortTerm()
	if !b.full {
		b.phase = PhaseStartup
		return
	}
	b.startDown(now)
	b.phase = PhaseProbeCruise
}
