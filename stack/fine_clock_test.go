package stack

import (
	"testing"
	"time"
)

var machineClocks = map[string]Clock{"package time": newMachineClock(), "fine": FineClock()}

func TestShardTimer(t *testing.T) {
	for name, c := range machineClocks {
		t.Run(name, func(t *testing.T) {
			fired := make(chan time.Duration, 10)
			timer := shardTimer(c, time.Hour, func() { fired <- c.Now() })
			if !timer.Stop() || timer.Stop() {
				t.Error("Stop reports whether the timer was set")
			}
			for _, d := range []time.Duration{0, time.Microsecond, 3 * time.Millisecond} {
				start := c.Now()
				timer.Reset(time.Hour)
				timer.Reset(d)
				if at := <-fired; at < start+d {
					t.Errorf("%v after Reset(%v)", at-start, d)
				}
			}
			stopTimer(timer)
			timer.Reset(0) // a closed timer is not set again; one of package time is
			stopTimer(timer)
		})
	}
}

// BenchmarkTimer is a wait of 300 us, as a paced sender has between two packets, in a process that has nothing else to do: how
// much later the call comes.
func BenchmarkTimer(b *testing.B) {
	for name, c := range machineClocks {
		b.Run(name, func(b *testing.B) {
			fired := make(chan time.Duration)
			timer := shardTimer(c, time.Hour, func() { fired <- c.Now() })
			defer stopTimer(timer)
			var late time.Duration
			n := 0
			for b.Loop() {
				at := c.Now() + 300*time.Microsecond
				timer.Reset(300 * time.Microsecond)
				late += <-fired - at
				n++
			}
			b.ReportMetric(float64(late.Microseconds())/float64(n), "late-us/op")
		})
	}
}
