package link

import (
	"fmt"
	"time"
)

// Lateness is how long after their time packets were handed over: the emulator's own error.
type Lateness struct {
	buckets [2000]uint32 // of 10 us; the last has everything beyond
	n       uint64
	Max     time.Duration
}

const latenessStep = 10 * time.Microsecond

func (l *Lateness) add(d time.Duration) {
	l.buckets[min(int(d/latenessStep), len(l.buckets)-1)]++
	l.n++
	l.Max = max(l.Max, d)
}

// Percentile returns an upper bound of the lateness of p percent of the packets, up to 20 ms.
func (l *Lateness) Percentile(p float64) time.Duration {
	limit, seen := p/100*float64(l.n), 0.0
	for i, n := range l.buckets {
		if seen += float64(n); seen >= limit {
			return time.Duration(i+1) * latenessStep
		}
	}
	return time.Duration(len(l.buckets)) * latenessStep
}

func (l *Lateness) String() string {
	return fmt.Sprintf("median %v, 99%% %v, worst %v", l.Percentile(50), l.Percentile(99), l.Max.Round(latenessStep))
}
