package world

import (
	"flag"
	"fmt"
	"testing"

	"tcpd/tcp"
)

var days = flag.Float64("days", 2, "how many days TestMonth runs a connection, without loss and with 0.01%")

// TestMonth: one busy connection lives for long; nothing overflows, nothing stalls.
func TestMonth(t *testing.T) {
	n := *days
	if testing.Short() || raced {
		n = min(n, 0.05)
	}
	for _, loss := range []float64{0, 0.0001} {
		t.Run(fmt.Sprint(loss), func(t *testing.T) {
			t.Parallel()
			m := RunMonth(1, n, loss)
			if m.Failure != "" {
				t.Errorf("%v: %s", &m, m.Failure)
			}
			if loss == 0 && m.Info.Retransmits > 0 {
				t.Errorf("retransmissions without loss: %v", &m)
			}
			t.Log(&m)
		})
	}
}

// TestFairness: two connections of one algorithm share a bottleneck within 2:1.
func TestFairness(t *testing.T) {
	const rate, delay = 20e6, 10 * tcp.Millisecond
	const bdp = int(rate / 8 * 0.02)
	for _, a := range []tcp.Congestion{tcp.Cubic, tcp.Reno, tcp.BBR} {
		for _, queue := range []int{bdp, 4 * bdp} {
			t.Run(fmt.Sprintf("%v, queue %d", a, queue), func(t *testing.T) {
				t.Parallel()
				for seed := uint64(1); seed <= few(2, 1); seed++ {
					got := share(seed, tcp.Options{Congestion: a}, rate, queue, delay)
					sum := float64(got[0]+got[1]) * 8 / 60
					if min(got[0], got[1])*2 < max(got[0], got[1]) || sum < 0.85*rate {
						t.Errorf("seed %d: %d and %d bytes in 60 s, %.1f Mbit/s together", seed, got[0], got[1], sum/1e6)
					}
					t.Logf("seed %d: %d and %d bytes in 60 s, %.1f Mbit/s together", seed, got[0], got[1], sum/1e6)
				}
			})
		}
	}
}
