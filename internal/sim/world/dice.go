package world

import (
	"math"
	"math/rand/v2"

	"tcpd/tcp"
)

// dice draws everything that chance decides.
type dice struct{ *rand.Rand }

func newDice(seed, use uint64) dice { return dice{rand.New(rand.NewPCG(seed, use))} }

// chance is true with probability p.
func (d dice) chance(p float64) bool { return d.Float64() < p }

// scale returns a number in [lo, hi], each order of magnitude as likely as another.
func (d dice) scale(lo, hi float64) float64 {
	return lo * math.Exp(d.Float64()*math.Log(hi/lo))
}

func (d dice) size(lo, hi int) int { return int(d.scale(float64(lo), float64(hi)+0.5)) }

// between returns a duration in [lo, hi], each order of magnitude as likely as another.
func (d dice) between(lo, hi tcp.Duration) tcp.Duration {
	return tcp.Duration(d.scale(float64(lo), float64(hi)))
}

// upTo returns a duration in [0, hi).
func (d dice) upTo(hi tcp.Duration) tcp.Duration {
	if hi <= 0 {
		return 0
	}
	return tcp.Duration(d.Int64N(int64(hi)))
}

func pick[T any](d dice, list ...T) T { return list[d.IntN(len(list))] }
