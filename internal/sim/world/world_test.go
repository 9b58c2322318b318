package world

import (
	"bytes"
	"flag"
	"testing"
)

var seeds = flag.Uint64("seeds", 10_000, "how many seeds TestSeeds runs")

// few returns n, or fewer when time is short.
func few(n, fewer uint64) uint64 {
	switch {
	case raced:
		return min(n, fewer/10)
	case testing.Short():
		return min(n, fewer)
	}
	return n
}

// TestSeeds runs many worlds. A seed that fails is printed with the command that replays it; when its cause is found it goes
// into the table of TestRegressions.
func TestSeeds(t *testing.T) {
	n := *seeds
	n = few(n, 500)
	failures := 0
	Sweep(1, n, func(r Result) bool {
		if r.Failure != "" {
			failures++
			t.Errorf("seed %d: %s\nreplay: %s", r.Seed, r.Failure, r.Replay())
		}
		return failures < 10
	})
}

// TestRepeats runs worlds twice: the same seed is the same run.
func TestRepeats(t *testing.T) {
	for seed := uint64(1); seed <= few(20, 20); seed++ {
		var first, second bytes.Buffer
		a, b := Run(seed, &first), Run(seed, &second)
		if a != b || !bytes.Equal(first.Bytes(), second.Bytes()) {
			t.Errorf("seed %d: two runs differ: %+v and %+v", seed, a, b)
		}
	}
}

// TestTraceChangesNothing: a failure that is seen without a trace is seen with one.
func TestTraceChangesNothing(t *testing.T) {
	for seed := uint64(1); seed <= few(50, 50); seed++ {
		var trace bytes.Buffer
		if a, b := Run(seed, nil), Run(seed, &trace); a != b {
			t.Errorf("seed %d: with a trace %+v, without %+v", seed, b, a)
		}
	}
}

// TestRegressions runs the seeds that found something, with the generation of plans that did.
func TestRegressions(t *testing.T) {
	for _, c := range []struct {
		generation int
		seed       uint64
		found      string
	}{
		{1, 7519, "simultaneous open: a SYN-ACK that came before ours had left was not acknowledged"},
		{1, 8105, "the same"},
		{1, 151, "keep-alive: answered probes were counted, and ended the connection, when Interval was longer than Idle"},
		{1, 322, "the same"},
		{1, 924, "memory: bytes ahead took all pages, so that the hole before them could not be filled"},
		{1, 9653, "the same"},
		{1, 1834, "memory: send buffers took all pages at both ends, so that neither could receive"},
		{1, 59742, "memory: the same, by one long write"},
		{2, 60, "a challenge to a half-open connection drew back the window that the SYN-ACK had offered"},
		{2, 718, "the same"},
		{3, 305836, "and what the challenge had offered, the connection drew back"},
		{2, 4475, "a link that became wider left a congestion window of less than one segment"},
		{2, 9734, "the same"},
		{3, 7594, "an MTU probe under way was believed when its size had become too large"},
		{3, 9064, "the same"},
		{3, 206763, "a pacing rate of next to nothing kept a connection waiting for twenty minutes"},
		{3, 210693, "the page an application was writing to was given back when Fast Open's SYN was acknowledged"},
		{3, 215005, "the same: wrong bytes were sent"},
		{3, 2066061, "turned away for want of room, and the listener ended: a client took itself for connected for ever"},
		{3, 125588, "corked and without acknowledgement: neither user time-out nor black hole was noticed while the peer spoke"},
		{3, 4193078, "reading in small pieces brought acknowledgements that told nothing new, and so a needless fast retransmit"},
		{3, 4313053, "a forged SYN-ACK, answered by RST, ended a connection whose handshake was in a SYN cookie"},
		{3, 4026150, "a false alarm: an old SYN begins another incarnation before a coarse clock has moved, with the same number"},
		{3, 4192151, "the same, and an old acknowledgement completes its handshake"},
		{3, 4032179, "a false alarm: a challenge of another incarnation leaves before its SYN-ACK"},
		{3, 4155290, "a false alarm: an old segment with a SYN cookie begins another incarnation, with the same number"},
		{3, 20005889, "a false alarm: a SYN for a flow in TIME-WAIT, within the same tick of the timestamps, has to come twice"},
		{3, 20443293, "a false alarm: a listener ends and begins again between two copies of a SYN that waited for a machine asleep"},
		{3, 30038397, "a loss probe leaves no room for the SACK blocks that it carries: 65,547 bytes on a link of 65,535"},
		{3, 40012237, "forged resets between segments of ours book challenges far ahead, and a keep-alive is answered no more"},
		{3, 40021260, "within a tick of a coarse clock each repair is taken for lost at once, without end"},
		{3, 40076904, "a false alarm: reset by a peer that gave up with a router's reason, and whose application had not looked"},
		{3, 50098257, "a false alarm: after an abort a forged SYN opens the peer anew, and what that acknowledges nobody has read"},
		{3, 60111325, "a false alarm: the port that Connect chose is that of a connection still to be accepted, and the world gives it up"},
		{3, 60913975, "a false alarm: while the listener was away a RST left, and a cookie opened the connection when it was back"},
		{3, 81233926, "a false alarm: whoever decides forgot all of the seven SYNs of a client"},
		{4, 92120734, "a false alarm: within a tick an old SYN begins another incarnation, of a flow that something else had used, too"},
		{3, 5104330, "a false alarm: reset by the peer, then the listener that held it for an application ended"},
	} {
		if r := RunOld(c.seed, c.generation, nil); r.Failure != "" {
			t.Errorf("seed %d (%s): %s\nreplay: %s", c.seed, c.found, r.Failure, r.Replay())
		}
	}
}
