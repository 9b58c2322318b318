package stack

import "time"

// fineClock is the machine's clock with timers for the shards that are not rounded to milliseconds. Everything else uses
// package time's.
type fineClock struct{ machineClock }

// FineClock returns the machine's clock with fine timers, where there are such (Linux: timerfd): a timer of package time is up
// to a millisecond late when the process has nothing else to do, which is as long as a paced sender waits between two packets.
// Config.Clock takes it. It is not for use inside testing/synctest: waiting for a file descriptor is not waiting to a bubble.
func FineClock() Clock { return fineClock{newMachineClock()} }

// fineTimer is a Timer that holds a descriptor until it is closed.
type fineTimer interface {
	Timer
	close()
}

// shardTimer returns a timer that calls f after d, as fine as the clock has them.
func shardTimer(c Clock, d time.Duration, f func()) Timer {
	if _, ok := c.(fineClock); ok {
		if t, err := newFineTimer(f); err == nil { // else without: it is late, and that is all
			t.Reset(d)
			return t
		}
	}
	return c.AfterFunc(d, f)
}

// stopTimer ends a timer for good.
func stopTimer(t Timer) {
	t.Stop()
	if f, ok := t.(fineTimer); ok {
		f.close()
	}
}
