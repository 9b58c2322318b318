package tcp

import "math"

// Time is an instant of a monotonic clock, in nanoseconds since an origin of the caller's choosing.
type Time int64

// Duration is a length of time in nanoseconds, as time.Duration.
type Duration int64

// Common durations.
const (
	Microsecond Duration = 1000
	Millisecond          = 1000 * Microsecond
	Second               = 1000 * Millisecond
	Minute               = 60 * Second
	Hour                 = 60 * Minute
	Day                  = 24 * Hour
)

// Never lies after every instant.
const Never Time = math.MaxInt64

// Add returns the instant d later, Never at most.
func (t Time) Add(d Duration) Time {
	if s := t + Time(d); s >= t || d < 0 {
		return s
	}
	return Never
}

// Sub returns the time from u to t.
func (t Time) Sub(u Time) Duration { return Duration(t - u) }
