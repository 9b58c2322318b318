package tcp

import (
	"fmt"
	"testing"
)

// shared are two senders with a path each, which have the queue and the link in common.
type shared struct {
	flows [2]*bottleneck
	free  Time
}

// newShared starts the second sender later.
func newShared(t testing.TB, delay, later Duration, queue int64, congestion [2]Congestion) *shared {
	t.Helper()
	s := &shared{}
	for i, c := range congestion {
		s.flows[i] = newBottleneckDelay(t, Options{Congestion: c}, delay)
		s.flows[i].queue = queue
	}
	s.flows[1].now = s.flows[1].now.Add(later)
	s.run(s.flows[0].now.Add(later), s.flows[:1])
	return s
}

// run lets the flow have its turn to which something happens first.
func (s *shared) run(until Time, flows []*bottleneck) {
	for {
		b := flows[0]
		for _, o := range flows[1:] {
			if max(o.due(), o.now) < max(b.due(), b.now) {
				b = o
			}
		}
		if max(b.due(), b.now) >= until {
			return
		}
		b.free = s.free
		b.apply()
		b.step()
		s.free = b.free
	}
}

// measure returns what each of them gets, in Mbit/s.
func (s *shared) measure(d Duration) (rates [2]float64) {
	for i, b := range s.flows {
		rates[i] = float64(b.received)
	}
	s.run(s.flows[0].now.Add(d), s.flows[:])
	for i, b := range s.flows {
		rates[i] = (float64(b.received) - rates[i]) * 8 / 1e6 / (float64(d) / float64(Second))
	}
	return rates
}

// Two senders at one bottleneck of 100 Mbit/s, from 10 to 40 s, means of two beginnings. What is wanted of the second is its share of
// what both get. A queue shorter than the path's product leaves little to CUBIC beside BBR, as the loss that it takes for a sign is one that
// BBR's probing makes.
func TestShare(t *testing.T) {
	type mix = [2]Congestion
	cases := []struct {
		rtt   Duration
		queue float64 // products of bandwidth and round trip
		mix   mix
		least float64 // percent
	}{
		{20 * Millisecond, 1, mix{Cubic, Cubic}, 33},
		{20 * Millisecond, 1, mix{BBR, BBR}, 33},
		{20 * Millisecond, 8, mix{BBR, BBR}, 33},
		{100 * Millisecond, 8, mix{BBR, BBR}, 30},
		{20 * Millisecond, 0.25, mix{BBR, Cubic}, 20},
		{20 * Millisecond, 1, mix{BBR, Cubic}, 20},
		{20 * Millisecond, 8, mix{BBR, Cubic}, 33},
		{100 * Millisecond, 0.25, mix{BBR, Cubic}, 2},
		{100 * Millisecond, 1, mix{BBR, Cubic}, 3},
		{100 * Millisecond, 8, mix{BBR, Cubic}, 33},
	}
	if testing.Short() { // under the race detector each takes half a minute, and no two goroutines meet
		cases = cases[:1]
	}
	for _, c := range cases {
		t.Run(fmt.Sprintf("%v %v beside %v, %v BDP", c.rtt/Millisecond, c.mix[0], c.mix[1], c.queue), func(t *testing.T) {
			t.Parallel()
			bdp := 12_500_000 * float64(c.rtt) / float64(Second)
			var sum [2]float64
			for _, later := range []Duration{Second, 1700 * Millisecond} {
				s := newShared(t, c.rtt, later, int64(c.queue*bdp), c.mix)
				s.measure(9 * Second)
				rates := s.measure(30 * Second)
				sum[0] += rates[0] / 2
				sum[1] += rates[1] / 2
			}
			share := 100 * sum[1] / (sum[0] + sum[1])
			t.Logf("%.1f and %.1f Mbit/s: the second has %.0f%%", sum[0], sum[1], share)
			if share < c.least || sum[0]+sum[1] < 80 {
				t.Errorf("want %v%% and 80 Mbit/s together", c.least)
			}
		})
	}
}
