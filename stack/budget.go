package stack

import "sync/atomic"

// Linux presses (tcp_mem) at three quarters; windows stop growing here a little later and refusals begin at the limit.
const pressurePercent = 80

// budget is the memory that connections of all shards may use together. It implements tcp.Memory.
type budget struct {
	used, peak, refused atomic.Int64
	limit               atomic.Int64
}

func newBudget(limit int64) *budget {
	b := &budget{}
	b.limit.Store(limit)
	return b
}

// Charge takes n bytes, or nothing and returns false.
func (b *budget) Charge(n int) bool {
	used := b.used.Add(int64(n))
	if used > b.limit.Load() {
		b.used.Add(int64(-n))
		b.refused.Add(1)
		return false
	}
	if used > b.peak.Load() {
		b.raisePeak(used)
	}
	return true
}

func (b *budget) raisePeak(used int64) {
	for p := b.peak.Load(); used > p; p = b.peak.Load() {
		if b.peak.CompareAndSwap(p, used) {
			return
		}
	}
}

// Release gives n bytes back.
func (b *budget) Release(n int) { b.used.Add(int64(-n)) }

// Pressure reports that the budget is nearly used up.
func (b *budget) Pressure() bool { return b.used.Load() > b.limit.Load()/100*pressurePercent }
