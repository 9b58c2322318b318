package stack

import (
	"time"

	"tcpd/tcp"
)

// Clock is the time a stack lives in. It is monotonic and may be virtual.
type Clock interface {
	// Now returns the time since an origin of the clock's choosing. It never goes back.
	Now() time.Duration
	// AfterFunc calls f, in a goroutine of its own, once d has passed.
	AfterFunc(d time.Duration, f func()) Timer
}

// Timer is what Clock.AfterFunc returns, with the meaning of time.Timer.
type Timer interface {
	// Stop prevents the call if it did not happen yet, and reports whether it did so.
	Stop() bool
	// Reset lets the call happen after d instead, again if it happened already.
	Reset(d time.Duration) bool
}

// machineClock is the monotonic clock of package time. Inside testing/synctest that is the bubble's.
type machineClock struct{ start time.Time }

func newMachineClock() machineClock { return machineClock{time.Now()} }

func (c machineClock) Now() time.Duration { return time.Since(c.start) }

func (machineClock) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// until returns how long to wait for an instant, at least 0.
func until(now, at tcp.Time) time.Duration { return time.Duration(max(at.Sub(now), 0)) }
