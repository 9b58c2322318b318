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
	// quietLoads without reason for more processors end it.
	quietLoads = 10
	// Trials that did not pay are repeated after so many loads, and then after twice as many each time: 2 s to a minute.
	firstPause, lastPause = 40, 1280
)

// governor decides whether Go code runs on half of the processors or on all. It sees loads, one after the other.
type governor struct {
	narrow, all int
	wide        bool
	rate        float64 // bytes a second, of the last narrow load that was full
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

// step takes a load and returns how many processors are to be used.
func (g *governor) step(l load) int {
	g.pause = max(g.pause-1, 0)
	if !l.many() || !l.fills(g.narrow) {
		g.quiet++
	} else {
		g.quiet = 0
	}
	switch {
	case g.wide:
		g.stay(l)
	case g.quiet == 0 && g.narrow < g.all && g.pause == 0:
		g.rate, g.wide = l.rate(), true
		g.trial, g.moved = trialLoads+1, 0 // the first one is still of both kinds
	}
	return g.processors()
}

// stay decides whether to go on with all processors.
func (g *governor) stay(l load) {
	if g.trial > 0 {
		if g.trial--; g.trial < trialLoads {
			g.moved += l.rate()
		}
		if g.trial == 0 {
			g.judge()
		}
		return
	}
	if g.quiet >= quietLoads {
		g.wide, g.backoff = false, 0
	}
}

// judge ends a trial.
func (g *governor) judge() {
	if g.moved/trialLoads >= g.rate*(100+payPercent)/100 {
		g.backoff = 0
		return
	}
	g.wide = false
	g.backoff = min(max(2*g.backoff, firstPause), lastPause)
	g.pause = g.backoff
}

// many reports bulk of many flows.
func (l load) many() bool {
	return l.flows >= manyFlows && l.bytes >= l.packets*bulkPacket && l.bytes > 0
}

// fills reports that as much time was used as n processors have.
func (l load) fills(n int) bool { return l.processor*100 >= l.elapsed*busyShare*time.Duration(n) }

// rate is in bytes a second.
func (l load) rate() float64 { return float64(l.bytes) / max(l.elapsed, 1).Seconds() }
