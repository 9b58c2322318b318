package link

import (
	"math/rand/v2"
	"time"
)

// direction is one direction of one connection's link. It knows no clock and no device.
type direction struct {
	conditions Conditions
	random     *rand.Rand
	free       time.Duration // when the transmitter has sent all that waits
	counts     Counts
}

func newDirection(c Conditions, seed uint64, from Side) direction {
	return direction{conditions: c, random: rand.New(rand.NewPCG(seed, uint64(from)))}
}

// admit takes a packet of n bytes and says when it arrives; false: never. Every packet takes the same numbers from the random
// source, whatever becomes of it: the fate of the nth packet that is not dropped at the tail follows from the seed.
func (d *direction) admit(now time.Duration, n int) (due time.Duration, ok bool) {
	c := &d.conditions
	d.counts.Entered++
	d.free = max(d.free, now)
	waiting := int((d.free-now).Seconds()*c.Rate/8) + n
	if waiting > c.Queue {
		d.counts.Overflow++
		return 0, false
	}
	d.counts.Peak = max(d.counts.Peak, waiting)
	d.free += time.Duration(float64(n) * 8 / c.Rate * float64(time.Second))
	lost, late := d.random.Float64() < c.Loss, d.random.Float64() < c.Reorder
	due = d.free + c.Delay
	switch {
	case lost:
		d.counts.Lost++
		return 0, false
	case late:
		d.counts.Delayed++
		due += c.Extra
	}
	return due, true
}
