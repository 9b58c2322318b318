package stack

import "time"

const (
	// governEvery is how often loads are looked at while much moves.
	governEvery = 50 * time.Millisecond
	// manyFlows: with fewer, more processors take their time from the peers, and from who exchanges small messages beside them.
	manyFlows = 16
	// bulkPacket is the mean size, in bytes, from which on packets are bulk: super-packets and their acknowledgements.
	bulkPacket = 8 << 10
	// busyShare of the processors, in percent, is all of them.
	busyShare = 80
	// trialLoads is how many loads judge whether more processors pay, and payPercent how much more has to move.
	trialLoads = 4
	payPercent = 5
	// fullLoads one after the other give reason for a trial, and quietLoads without reason end what it began.
	fullLoads  = 2
	quietLoads = 10
	// againLoads after a trial that paid there is another one: what it was compared with may have been a bad moment.
	againLoads = 1200
	// Trials that did not pay are repeated after so many loads, and then after twice as many each time: 2 s to a minute.
	firstPause, lastPause = 40, 1280
)

// governor decides whether Go code runs on half of the processors or on all. It sees loads, one after the other.
type governor struct {
	narrow, all int
	wide        bool
	rate        float64 // bytes a second, the most of the last narrow loads that were full
	full        int     // narrow loads that gave reason, one after the other
	wideFor     int     // loads since the trial that paid
	trial       int     // loads to come that judge; 0: judged
	moved       float64 // bytes a second of the trial, summed
	quiet       int     // loads without reason, one after the other
	pause       int     // loads until the next trial
	backoff     int     // the pause after the next trial that fails
}

func (g *governor) processors() int {
	if g.wide {
		return g.all
	}
	return g.narrow
}

// awake reports that there is something to watch.
func (g *governor) awake() bool { return g.wide || g.quiet < quietLoads }

// woke begins to watch again after some time without.
func (g *governor) woke(slept time.Duration) {
	g.quiet, g.full = 0, 0
	g.pause = max(g.pause-int(slept/governEvery), 0)
}

// step takes a load and returns how many processors are to be used.
func (g *governor) step(l load) int {
	g.pause = max(g.pause-1, 0)
	if l.many() && l.fills(g.narrow) {
		g.quiet = 0
	} else {
		g.quiet++
	}
	switch {
	case !g.wide:
		g.consider(l)
	case g.trial > 0:
		g.try(l)
	default:
		g.stay()
	}
	return g.processors()
}

// consider decides whether to try all processors.
func (g *governor) consider(l load) {
	if g.quiet > 0 {
		g.full, g.rate = 0, 0
		return
	}
	g.full++
	g.rate = max(g.rate, l.rate())
	if g.full >= fullLoads && g.pause == 0 && g.narrow < g.all {
		g.wide = true
		g.trial, g.moved = trialLoads+1, 0 // the first one is still of both kinds
	}
}

// try goes on with a trial, and judges it in the end. One that loses its reason tells nothing.
func (g *governor) try(l load) {
	if g.trial--; g.trial < trialLoads {
		g.moved += l.rate()
	}
	switch {
	case g.quiet > 0:
		g.narrowAgain()
	case g.trial > 0:
	case g.moved/trialLoads >= g.rate*(100+payPercent)/100:
		g.backoff, g.wideFor = 0, 0
	default:
		g.narrowAgain()
		g.backoff = min(max(2*g.backoff, firstPause), lastPause)
		g.pause = g.backoff
	}
}

// stay decides whether to go on with all processors.
func (g *governor) stay() {
	if g.wideFor++; g.quiet >= quietLoads || g.wideFor >= againLoads {
		g.narrowAgain()
	}
}

func (g *governor) narrowAgain() { g.wide, g.trial, g.full, g.rate = false, 0, 0, 0 }

// many reports bulk of many flows.
func (l load) many() bool {
	return l.flows >= manyFlows && l.bytes >= l.packets*bulkPacket && l.bytes > 0
}

// fills reports that as much time was used as n processors have.
func (l load) fills(n int) bool { return l.processor*100 >= l.elapsed*busyShare*time.Duration(n) }

// rate is in bytes a second.
func (l load) rate() float64 { return float64(l.bytes) / max(l.elapsed, 1).Seconds() }
