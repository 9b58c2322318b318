package stack

import "sync/atomic"

// Linux presses (tcp_mem) at three quarters; windows stop growing here a little later and refusals begin at the limit.
const (
	pressurePercent  = 80
	exhaustedPercent = 95
)

// budget is the memory that connections of all shards may use together. It implements tcp.Budget.
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

// Limit returns the size.
func (b *budget) Limit() int { return int(b.limit.Load()) }

// Exhausted reports that hardly anything is left: connections are refused, and ended.
func (b *budget) Exhausted() bool { return b.used.Load() > b.limit.Load()/100*exhaustedPercent }

// Pressure reports that the budget is nearly used up.
func (b *budget) Pressure() bool { return b.used.Load() > b.limit.Load()/100*pressurePercent }

// allowance is what one shard has charged of the budget beyond what it uses: a page more or less then costs no atomic
// operation, which would wait until the copies before it have reached memory. It implements tcp.Memory, under the shard's lock.
type allowance struct {
	*budget
	spare int
}

// allowanceStep is what is charged at once.
const allowanceStep = 256 << 10

func (a *allowance) Charge(n int) bool {
	if a.spare < n && !a.more(n) {
		return false
	}
	a.spare -= n
	return true
}

// more charges for n bytes, and some more unless memory is short.
func (a *allowance) more(n int) bool {
	k := n - a.spare
	if a.used.Load()+allowanceStep < a.limit.Load()/4 {
		k += allowanceStep
	}
	if !a.budget.Charge(k) {
		return false
	}
	a.spare += k
	return true
}

func (a *allowance) Release(n int) {
	a.spare += n
	if a.spare > 2*allowanceStep || a.used.Load() > a.limit.Load()/4 {
		a.returnSpare()
	}
}

func (a *allowance) returnSpare() {
	a.budget.Release(a.spare)
	a.spare = 0
}
