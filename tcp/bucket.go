package tcp

// What a source gets in RSTs for strays: Linux, which has no limit here, answers each, and a flood from spoofed addresses
// comes back whole to whom they belong. A scan of all ports at a human pace does not meet it.
const (
	resetRate   = 1000 // per second
	resetBurst  = 1000
	bucketCount = 1024
)

// buckets are token buckets of sources (attack class T04). Sources that hash to the same one share it: that makes the limit
// stricter, and memory is bounded. Each is the time at which it would be full again.
type buckets [bucketCount]Time

// take reports whether the source may have one more.
func (b *buckets) take(now Time, source uint64) bool {
	const interval, depth = Second / resetRate, resetBurst * Second / resetRate
	full := &b[source%bucketCount]
	next := max(*full, now).Add(interval)
	if next.Sub(now) > depth {
		return false
	}
	*full = next
	return true
}
