package ether

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Packets forged from addresses of the link at which nobody is must not keep us from finding those who are there (RFC 6583, section
// 7.1): as long as the rate allows for a first question to each, all are found.
func TestForgedNeighborsLeaveRoomForOthers(t *testing.T) {
	for _, tt := range []struct{ forged, least int }{{0, 100}, {300, 98}, {450, 98}} { // a second; of 100
		l := newLAN(t)
		a := l.add(1, "10.0.0.1/8")
		there := l.addConfig(Config{MAC: mac(2), Addresses: prefixes("10.0.0.2/8"), Whole: prefixes("10.1.0.0/24")})
		l.run(20 * second)
		dice, forged := rand.New(rand.NewPCG(1, 2)), 0
		for step := range 15_000 {
			if dice.IntN(1000) < tt.forged {
				forged++
				l.send(a, fmt.Sprintf("10.2.%d.%d", forged>>8, forged&255), "forged")
			}
			l.run(Time(dice.Int64N(millisecond)))
			if step >= 5000 && step%100 == 0 { // what may be asked at once is used up
				l.send(a, fmt.Sprintf("10.1.0.%d", (step-5000)/100), "real")
			}
			l.run(Time(dice.Int64N(millisecond)))
			l.wire = l.wire[:0]
		}
		l.run(20 * second)
		if len(there.got) < tt.least {
			t.Errorf("with %d forged neighbors a second %d of 100 packets to others arrived, want %d", tt.forged, len(there.got), tt.least)
		}
		l.want("nobody is asked for any more", a.Counters().Losses[TableFull] == 0 && a.table.oldest() == nil)
		l.explain()
	}
}

// A neighbor that the rate kept us from asking for has not failed to answer. It is asked for as often as others when the rate lets
// us, and given up if that takes too long.
func TestDeniedQuestions(t *testing.T) {
	for _, p := range pairs {
		for _, tt := range []struct {
			denied      Time
			asked, lost uint64
		}{{3 * second, maxSolicit, 3}, {20 * second, 0, maxDenied}} {
			l, a, b := settledLAN(t, p.a+p.bits, p.b+p.bits)
			l.drop = func(from *station, _ []byte) bool { return from == b }
			a.budget = budget{last: l.now + tt.denied - second/2}
			l.send(a, p.b, "x")
			l.run(30 * second)
			c := a.Counters()
			if c.Solicitations != tt.asked || c.SolicitLimit != tt.lost || c.Losses[NoNeighbor] != 1 || c.Neighbors != 0 {
				t.Errorf("%s, no questions for %d s: %d were asked and %d denied, want %d and %d; %d given up, %d left", p.name,
					tt.denied/second, c.Solicitations, c.SolicitLimit, tt.asked, tt.lost, c.Losses[NoNeighbor], c.Neighbors)
			}
			l.explain()
		}
	}
}
