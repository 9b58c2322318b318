package stack

import (
	"cmp"
	"math"
	"runtime"
	"slices"
	"sync"
	"time"
)

// VirtualClock is a Clock that stands still until Advance moves it: for tests and simulations, in which hours pass in
// milliseconds and nothing depends on the machine's speed. Several stacks may live by one.
//
// A stack's work is done by goroutines of its own. Advance waits for them before the clock moves on and after it has, with
// Settle. Goroutines of the application are the application's to wait for.
type VirtualClock struct {
	mu     sync.Mutex
	now    time.Duration
	timers []*virtualTimer // that are set, in the order in which they are due
	early  int             // calls under way of timers that were due when they were set
	stacks []*Stack
}

// NewVirtualClock returns a clock that shows 0.
func NewVirtualClock() *VirtualClock { return &VirtualClock{} }

// Now implements Clock.
func (c *VirtualClock) Now() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// AfterFunc implements Clock. Advance calls f, or, where d is not positive, a goroutine does at once.
func (c *VirtualClock) AfterFunc(d time.Duration, f func()) Timer {
	t := &virtualTimer{clock: c, call: f}
	t.Reset(d)
	return t
}

// Advance lets d pass. What is due runs in order, each at its time, and the clock shows no later time before all that follows
// has settled.
func (c *VirtualClock) Advance(d time.Duration) {
	end := c.Now() + d
	for {
		c.Settle()
		t := c.next(end)
		if t == nil {
			return
		}
		t.call()
	}
}

// next moves the clock to the first timer that is due until end, which it returns, or to end.
func (c *VirtualClock) next(end time.Duration) *virtualTimer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.timers) == 0 || c.timers[0].at > end {
		c.now = max(c.now, end)
		return nil
	}
	t := c.timers[0]
	c.timers = slices.Delete(c.timers, 0, 1)
	c.now = max(c.now, t.at)
	return t
}

// Settle waits until the stacks that live by the clock have nothing to do before a timer is due: what is on its way to them
// has arrived, what follows has been sent, and who waits has been woken. It knows of packets on links that have a method
// Pending, as those in memory have.
func (c *VirtualClock) Settle() {
	const enough = 3 // looks in a row: what one stack sent last may have to be found at another
	for calm := 0; calm < enough; calm++ {
		if !c.settled() {
			calm = -1
		}
		runtime.Gosched()
	}
}

func (c *VirtualClock) settled() bool {
	c.mu.Lock()
	early, stacks := c.early, c.stacks
	c.mu.Unlock()
	return early == 0 && !slices.ContainsFunc(stacks, func(s *Stack) bool { return !s.settled() })
}

// add is called by every stack that is made with the clock. Those that have ended are told by their channels: stacks look at
// the clock with their own locks held.
func (c *VirtualClock) add(s *Stack) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stacks = append(slices.DeleteFunc(slices.Clone(c.stacks), (*Stack).ended), s)
}

func (s *Stack) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// settled reports whether no packet waits, every loop does, and nobody sends.
func (s *Stack) settled() bool {
	if s.Err() != nil {
		return true
	}
	if l, ok := s.link.(interface{ Pending(queue int) int }); ok {
		for q := range s.loops {
			if l.Pending(q) > 0 {
				return false
			}
		}
	}
	for _, r := range s.loops {
		if !r.waiting.Load() {
			return false
		}
	}
	for _, g := range s.guests {
		if !g.busy.TryLock() {
			return false
		}
		g.busy.Unlock()
	}
	for _, sh := range s.shards {
		sh.mu.Lock()
		sending := sh.sending
		sh.mu.Unlock()
		if sending {
			return false
		}
	}
	return true
}

// virtualTimer is set while it is among the timers of its clock.
type virtualTimer struct {
	clock *VirtualClock
	at    time.Duration
	call  func()
}

// Stop implements Timer.
func (t *virtualTimer) Stop() bool {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.remove(t)
}

func (c *VirtualClock) remove(t *virtualTimer) bool {
	i := slices.Index(c.timers, t)
	if i >= 0 {
		c.timers = slices.Delete(c.timers, i, i+1)
	}
	return i >= 0
}

// Reset implements Timer.
func (t *virtualTimer) Reset(d time.Duration) bool {
	c := t.clock
	c.mu.Lock()
	defer c.mu.Unlock()
	was := c.remove(t)
	if d <= 0 {
		c.early++
		go t.callEarly()
		return was
	}
	if t.at = c.now + d; t.at < 0 {
		t.at = math.MaxInt64
	}
	i, _ := slices.BinarySearchFunc(c.timers, max(t.at, t.at+1), func(o *virtualTimer, at time.Duration) int { return cmp.Compare(o.at, at) })
	c.timers = slices.Insert(c.timers, i, t)
	return was
}

func (t *virtualTimer) callEarly() {
	t.call()
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	t.clock.early--
}
