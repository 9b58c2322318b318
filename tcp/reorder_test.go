package tcp

import (
	"fmt"
	"testing"
)

// Over 100 ms packets and acknowledgements overtake each other. When the window grew only for what no SACK had named, and
// HyStart's rounds ended with SND.UNA, it was 75 to 83 of 100 Mbit/s in six seconds with packets late by an eighth of the round
// trip, and 42 to 81 by half of it.
func TestReordering_goodput(t *testing.T) {
	for _, parts := range []Duration{8, 2} {
		for _, late := range []int64{100, 500} {
			t.Run(fmt.Sprintf("%d%% by a %d", late/100, parts), func(t *testing.T) {
				const seeds = 5
				sum := 0
				for seed := range seeds {
					b := newBottleneckDelay(t, Options{SendBuffer: 64 << 20, ReceiveBuffer: 32 << 20}, 100*Millisecond)
					b.dice = random(seed + 1)
					b.queue, b.late, b.extra = 2_500_000, late, b.delay/parts
					sum += b.run(6 * Second)
				}
				if mean := sum / seeds / 6; mean < 10_400_000 {
					t.Errorf("%d bytes a second, want 83 of 100 Mbit/s", mean)
				}
			})
		}
	}
}
