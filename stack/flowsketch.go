package stack

import (
	"math"
	"math/bits"
	"sync/atomic"
)

// flowSketch estimates how many flows packets belong to, up to a few hundred: each flow marks one of 64 places, and how many are
// left unmarked tells how many there were (linear counting). A packet costs a load.
type flowSketch struct{ marks atomic.Uint64 }

// see marks the place of a flow by its hash. The upper bits choose it, the lower ones the shard.
func (s *flowSketch) see(hash uint64) {
	if m := uint64(1) << (hash >> 58); s.marks.Load()&m == 0 {
		s.marks.Or(m)
	}
}

// take returns the marks and begins anew.
func (s *flowSketch) take() uint64 { return s.marks.Swap(0) }

// flowsOf estimates how many flows made the marks.
func flowsOf(marks uint64) int {
	free := 64 - bits.OnesCount64(marks)
	return int(math.Round(64 * math.Log(64/max(float64(free), 0.5))))
}
