package stack

import (
	"sync"

	"tcpd/ip"
	"tcpd/tcp"
)

// What ICMP we send, at most. The limits on errors are those of Linux (icmp_msgs_per_sec, icmp_msgs_burst and
// icmp_ratelimit); echo replies, which Linux does not limit, get one that an honest ping does not meet.
const (
	errorRate      = 1000 // per second, all destinations
	errorBurst     = 50
	hostErrorBurst = 6 // of one destination, refilled one a second
	echoRate       = 50_000
	echoBurst      = 5_000
	hostBuckets    = 1024
)

// limiter decides which ICMP messages are sent (RFC 4443, section 2.4 (f); RFC 1812, section 4.3.2.8).
type limiter struct {
	mu     sync.Mutex
	hash   hasher
	errors *ip.TokenBucket
	echoes *ip.TokenBucket
	hosts  [hostBuckets]hostBucket
}

// hostBucket is shared by the destinations that hash to it: collisions make the limit stricter, and memory is bounded.
type hostBucket struct {
	level tcp.Duration // tokens of a second each
	last  tcp.Time
	used  bool
}

func newLimiter(h hasher, seed uint64) *limiter {
	return &limiter{
		hash:   h,
		errors: ip.NewTokenBucket(errorRate, errorBurst, mix(seed, 3)),
		echoes: ip.NewTokenBucket(echoRate, echoBurst, mix(seed, 4)),
	}
}

// error reports whether an ICMP error may go to a host. The host's own limit is asked first, so that one host does not use
// up what all share.
func (l *limiter) error(now tcp.Time, to ip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := sourceKey(to)
	return l.hosts[l.hash.addr(0, &key)%hostBuckets].take(now) && l.errors.Take(int64(now))
}

// echo reports whether one more echo request may be answered.
func (l *limiter) echo(now tcp.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.echoes.Take(int64(now))
}

func (b *hostBucket) take(now tcp.Time) bool {
	const full = hostErrorBurst * tcp.Second
	if !b.used {
		b.used, b.level, b.last = true, full, now
	}
	if elapsed := now.Sub(b.last); elapsed > 0 {
		b.level, b.last = min(full, b.level+elapsed), now
	}
	if b.level < tcp.Second {
		return false
	}
	b.level -= tcp.Second
	return true
}
