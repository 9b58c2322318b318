package stack_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tcpd/stack"
	"tcpd/tcp"
	"tcpd/tun"
)

// TestVirtualClock_order: timers run in the order of their times, equal ones in that in which they were set, and those that a
// timer sets in their turn; what is stopped does not run, and what was reset runs at the new time only.
func TestVirtualClock_order(t *testing.T) {
	c := stack.NewVirtualClock()
	var ran []string
	note := func(name string) func() { return func() { ran = append(ran, name+"@"+c.Now().String()) } }
	c.AfterFunc(3*time.Second, note("late"))
	c.AfterFunc(time.Second, func() {
		note("first")()
		c.AfterFunc(time.Second, note("inner"))
	})
	c.AfterFunc(time.Second, note("second"))
	stopped := c.AfterFunc(2*time.Second, note("stopped"))
	reset := c.AfterFunc(time.Second, note("reset"))
	if !stopped.Stop() || stopped.Stop() {
		t.Error("Stop tells wrongly whether the timer was set")
	}
	if !reset.Reset(2500 * time.Millisecond) {
		t.Error("Reset tells wrongly whether the timer was set")
	}
	c.Advance(2900 * time.Millisecond)
	c.Advance(time.Second)
	want := []string{"first@1s", "second@1s", "inner@2s", "reset@2.5s", "late@3s"}
	if !slices.Equal(ran, want) || c.Now() != 3900*time.Millisecond {
		t.Errorf("ran %v, want %v; the clock shows %v", ran, want, c.Now())
	}
}

// TestVirtualClock_early: what is due when it is set runs without Advance, and Settle waits for it.
func TestVirtualClock_early(t *testing.T) {
	c := stack.NewVirtualClock()
	var mu sync.Mutex
	n := 0
	for range 10 {
		c.AfterFunc(0, func() { mu.Lock(); n++; mu.Unlock() })
	}
	c.Settle()
	mu.Lock()
	defer mu.Unlock()
	if n != 10 {
		t.Errorf("%d of 10 calls had run", n)
	}
}

// TestVirtualClock_repairsInTime: a lost segment is repaired after the time-out and not before, whatever the machine does.
func TestVirtualClock_repairsInTime(t *testing.T) {
	for family, addr := range families {
		t.Run(family, func(t *testing.T) {
			clock := stack.NewVirtualClock()
			use := func(c *stack.Config) { c.Clock, c.Options = clock, tcp.Options{NoDelay: true} }
			p := newPair(t, 1, use, use)
			a, b := p.connect(addr)
			mustWrite(t, a, "one")
			clock.Settle()
			mustRead(t, b, "one")
			lose(p.ends[1], func() { mustWrite(t, a, "two"); clock.Settle() })
			clock.Advance(199 * time.Millisecond)
			if i := b.Info(); i.Unread != 0 {
				t.Fatalf("%d bytes have arrived before the time-out", i.Unread)
			}
			clock.Advance(3 * time.Millisecond)
			mustRead(t, b, "two")
			if i := a.Info(); i.Retransmits == 0 || i.Unacked != 0 {
				t.Errorf("%d retransmissions, %d bytes unacknowledged", i.Retransmits, i.Unacked)
			}
		})
	}
}

// TestVirtualClock_stacksComeMeanwhile: a stack may be made with a clock by which others live and are at work.
func TestVirtualClock_stacksComeMeanwhile(t *testing.T) {
	clock := stack.NewVirtualClock()
	use := func(c *stack.Config) { c.Clock = clock }
	p := newPair(t, 2, use, use)
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		for range 5000 {
			p.server.SetOptions(tcp.Options{})
		}
	}()
	for range 500 {
		link, _ := tun.NewMemory(1500, 1, 1)
		s, err := stack.New(stack.Config{Link: link, Addresses: clientAddrs, Clock: clock})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	<-worked
}

// lose has what is written to a link during f find it too narrow.
func lose(link *stray, f func()) {
	mtu := link.MTU()
	link.SetMTU(0)
	f()
	link.SetMTU(mtu)
}

// What is due in 292 years does not run now.
func TestVirtualClock_farTimer(t *testing.T) {
	c := stack.NewVirtualClock()
	c.Advance(time.Second)
	var ran atomic.Bool
	c.AfterFunc(1<<63-1, func() { ran.Store(true) })
	c.Advance(time.Second)
	if ran.Load() {
		t.Error("it ran")
	}
}
